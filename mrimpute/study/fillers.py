"""Words of names and descriptions that are known and tell nothing of the contrast: techniques, purposes, the head.

A word that stands here is no question: one that does not, behind a T1 of which nothing else speaks, may name an agent
in a language that the tables lack. Tables only. Words stand folded (`text.fold`): lower case, no accents.
"""

_GENERAL = """
    se tse fse ir fast xl haste blade propeller prop multivane mv frfse fsexl tfe hres vibe lava thrive fame star
    starvibe ssh ssfse grase sshot turbo te tr ti etl fs fatsat fat satfat sat fatsup spir spair stealth stryker
    neuronav nav neuro navigation brain head heads skull cerebro cerebral cranio cran encefalo encephale enc hirn
    gehirn schadel kopf tete cabeza cabeca testa hjerne hjarna mozg mozek beyin мозг голова 头 头部 头颅 頭部 頭 脳
    颅脑
    routine std standard quick rapid express study exam scan scans image images series ser img mr mri mrt irm rm
    anat anatomical struct structural high res hires highres resolution low lowres thin thick slice slices slab sl
    mm nsa nex avg repeat rpt repet rep redo again new old orig original opt optional option ok test add extra long
    short ltr longtr straight whole full sense grappa ipat asset arc cs caipi accelerated clear acc sms compressed
    moco bias pp unstripped stripped n4 bet defaced deface skullstripped skullstrip synthstrip hdbet mni mni152 sri
    acpc ac line angle ang obl obliq oblique weighted weight wt gewichtet tumor tumour tumori epilepsy epilessia ms
    sclerosis pituitary hypofyse sella iac cpa orbit orbits retroorbit temporal hippocampus lobe auto align
    autoalign adni ppmi hcp wip oasis shc fov and und y e the of by per inter interleaved intra 2d us dr nd flowcomp
    trf hf planning tumorvolume vec photon frame headframe easy guide sz mets screen screening protocol
    protokoll prot program left right lt bilat patient patients gbm pdgm upenn ucsf brats subject subj pat case fall
    visit ses session timepoint timepoints tp week month day run acq desc task rec part echo suppr suppression
    suppressed supp saturation corrected corr final copy raw dcm dicom nii nifti converted siemens philips uih canon
    toshiba skyra prisma trio avanto aera vida signa achieva ingenia intera discovery magnetom tesla late early
    stereo stereotactic wand mid small large physicist ap pa lr rl phantom lat registered coreg brains gamma
    gammaplan cyberknife frameless brainlab medtronic water vcs p2 p3 p4 s2 ns rms promo qtse spc nosat nofs d r x
    st sp blackblood msde read
    given gegeben verabreicht administered gegeven givet donne somministrato administrado podano yes medziagos
"""
"""Techniques, machines, sites and persons."""

_ACQUISITION = """
    ffs ffp ffld ffrd ffdl ffdr hfs hfp hfld hfrd hfdl hfdr rr fsp mx3d mvxd gap lab mp feet first supine csx silent
    ambition acs vnav quiet turboshake shake caipirinha compress csense dl airrecon airdl drb drg deepres
    deepresolve grx wave
    vb ve intellispace precise sharp pure scic uniform uniformity ecal dstream torso nn off still nod nodding
    fsat wfs wfi waterexc watex we spsp fatsep opposedfs jet bb dante improved vti rst bh ffs2 ffe2d refocused radar
    hypersense hyperband hyperspeed smartspeed air ai aice dlr pique speeder exsper swiftmr subtlemr deeprecon
    tigre sonic
    spoiled spoiled3d
"""
"""Positions, reconstructions and options of the vendors."""

_PROCESSING = """
    mni152nlin2009asym mni152nlin2009casym mni152nlin6asym coregistered coregister coregist rigid affine linear lin
    nlin nonlinear normalized normalised denoised denoise denoising nlm gibbs degibbs unbiased debiased biascorr
    biascorrected biasfieldcorrected bfc nuc nu n3 n4itk n4corrected scaled br stx isovox resample resamp regrid
    padded pad crop cropped cropping zscore whitestripe histmatch matched anon anonymized anonymised anonymous deid
    deidentified masked bse ss noskull nonskull brainextracted brainextraction robex bet2 hd swapped oriented
    reoriented reorient orient orientation lps ras las rai lpi upsampled interp interpolated sinc bspline intensity
    intnorm inorm tal talairach standardized standardised harmonized harmonised combat fullfov robustfov wholebrain
    stitched composed average averaged clean cleaned prep out output input
    source src ref reference fixed moving aligned atlasspace mrtrix fsl ants spm freesurfer fs7 fmriprep
    hires1 clipped clip winsorized rescaled float int16 uint16 v1 v2
"""
"""Steps of processing that leave an acquired image one."""

_PURPOSES = """
    staging navi navigacion navigazione navigacja neuronavigation neuronavigatie neuronavigazione basic advanced
    human motion movement bewegung bewegungskorrektur artefakt artefact correccion correction parkinson alzheimer
    dementia demenz demencia demence epilepsia epilepsie schlaganfall ictus avc tumeur tumore guz nador hippo
    hippocampe ippocampo amygdala thalamus monate monat wochen jahr jahre mois meses mesi maanden months weeks
    days msseg msseg2 iseg cereb tum hydrocephalus volumetrie volumetry morphometry neurochirurgie
    neurosurgery radiochirurgie radiosurgery paed pediatric pediatrico kinder kind baby neonate infant child adult
    visit2 inpatient outpatient emergency notfall urgent ambulant stationar wholehead supratentorial infratentorial
    hypophysis hypophyse ipofisi hipofisis sellar parasellar schlafenlappen innenohr kleinhirnbruckenwinkel khbw cai
    joint gelenk
    ga et og och ja media stem base canal white matter witte stof corpus hode huvud capo
    hospital klinik klinikum clinic clinica clinique institute institut istituto center centre zentrum centro ospedale
    hopital krankenhaus spital medical medizin ear ears innerear odcinek
    垂体 鞍区 海马 桥小脑角 内听道 颅底 眼眶 小脑 脑干 下垂体 内耳道 海馬 小脳 脳幹 頭蓋 轴状 增宽
    cavernous sinus cavernosus chiasm chiasma nerve nervus optic opticus orbita orbite oculi eyes
"""
"""Why and of what an examination is made."""

_FAT = """
    fettsattigung fettunterdruckung fettgesattigt vetsuppressie vetonderdrukking fettsuppression fettundertryckning
    supresion soppressione soppr saturacao saturacion saturazione supressao supr satgrasa grasa grasso gordura
    graisse grassa fett vet tluszcz tluszczu zsir жироподавлением жироподавление жира подавлением подавление
"""
"""Fat, where it is suppressed."""

_LANGUAGES = """
    扫描 扫 序列 脂肪抑制 压脂 抑脂 加权 加权像 加權 加權像 強調 強調像 强调 全脳 全脑 薄层 检查 大脑 脑 像 ви
    взвешенные взвешенное взвешенный изотропная
    изотропный изотропное головного мозга серия срез срезы тонкие wazony wazone wazona gewogen veid vagt vagd viktad
    vektet vaegtet vazeny vazene vazena vahovany sulyozott agirlikli painotteinen painotettu pondere ponderee
    ponderado ponderada pesata pesate ponderat hersenen hersen hjarnan hjernen aivot aivojen mozku mozgu mozga mozgi
    agy koponya encephal encephalon dunn dunne dunnen duenn coupes coupe fines fini fine sottile sottili delgado
    delgados cienkie glowa glowy hlava hlavy creier kafa ust eco echoes schichten schicht couches plano corte
    cortes
    strato strati snede sneden snitt lag quer langs gewichtung wdh wdhlg neu nochmal
    movimiento movimento mouvement skan ruch ge
"""
"""Words for an image, its weighting and the head."""

FILLERS = frozenset(" ".join((_GENERAL, _ACQUISITION, _PROCESSING, _PURPOSES, _FAT, _LANGUAGES)).split())
"""All of them."""

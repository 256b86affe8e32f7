"""Words, values of Image Type and coded contrasts of series that are no source, each with its reason.

Tables only. Words stand folded (`text.fold`): lower case, no accents.
"""


def _read(table: str) -> dict[str, str]:
    """Return word → reason; a line that is indented further goes on with the words of the one above."""
    found: dict[str, str] = {}
    reason = ""
    for line in table.splitlines():
        head, colon, words = line.partition(": ")
        reason, words = (head.strip(), words) if colon else (reason, line)
        found |= dict.fromkeys(words.split(), reason)
    return found


ASIDE_WORDS: dict[str, str] = _read(
    """
    a segmentation: mixeltype tissueclass tissueclasses classes glistrboost seg segm segmentation segmentations
        aseg parc parcellation aparc dseg probseg wmparc
    a mask or masked image: mask masks brainmask gtv ctv ptv voided maske masque mascara maschera 掩膜
    a localizer: localizer localiser localizers locator loc locs scout scouts survey surveymst surview scanogram
        scano topogram aahead aascout smartbrain posdisp posdisplay pilot pilote autoview 3pl 3plane 3planes
        threeplane triplane triplan planscan smartplan localizador localizzatore lokaliser lokalizer lokalizator
        lokalisator localisateur поисковый поисковая поисковые разметка reperage repere lokator plocalizer
        gidsbeelden przegladowe przegladowy
        centratura cal3plane kilavuz paikannus ubersicht topo setter 定位 定位像 定位图 位置決め 위치결정 локалайзер
        топограмма
    a calibration scan: cal calib calibration calibracion kalibrierung calibrage calibrazione refscan kalibracja
        senseref coilref coilsurvey referencescan sensref prescan shim shimming smartprep bolustrack carebolus
        testbolus noisescan coilsens b1calib
    diffusion: dwi dti dki dwidir dmri diff diffusion difusion diffusione diffusie diffuusio dyfuzja difuze
        difuzja dyfuzji difuzyon difuzni diffusjon adc eadc dadc trace tracew tensor tensors dwib0 dwib1000
        resolve hardi noddi qball ivim dsi tractography traktografie traktographie colfa fractional isotropicdwi
        apparent exponential dw 弥散 扩散 拡散 擴散 확산 диффузия дви дти
    perfusion: perf perfusion perfusao perfusione perfusie perfuzja perfuze perfuzyon perfusionweighted
        dsc dce cbf cbv rcbf rcbv relcbf relcbv relmtt mtt ttp tmax pwi gbp pbp m0 ktrans
        prestperf qbold vaso 灌注 灌流 перфузия
    spin-labelled perfusion: asl pcasl pasl casl mbpcasl pcaslhr m0scan
    functional: rest bold fmri rsfmri rfmri tfmri resting restingstate sbref funktionell funkcjonalny
    echo-planar imaging: epi ep2d epibold epse epfid mbep2d epirt seepi geepi epfid2d1 epse2d1 distortionmap
    a field map: fieldmap fieldmaps fieldmapping fmap topup b0map b1map b0rf magnitude magnitude1 magnitude2
        phasediff tb1afi afi xfl b1 b0field
    susceptibility: haemo swi swip swan swiphase venbold hemo hemos hemosidr hemosiderin hemosidern
        hemosiderine hamo haem heme susceptibility blood t2star t2starw t2stern t2etoile
        medic me2d me3d merge qsm pha mag minip venous sw 磁敏感 磁化率 t2fl2d
    angiography: mra mrv mraangio tof angio angiography angiographie angiografia angiografie venogram venography
        venographie veno carotid carotids carotis cortoid karotis cow pca pcangio venc inflow motsa twist tricks
        inhance cine vwi vertebral vertebrals trance cemra mraw trofi 血管 动脉 静脉 vene
    balanced steady state: ciss ci3d fiesta fiestac trufi truefisp truefi bffe btfe sbtfe balanced drive bssfp
        genfisp psif dess
    magnetisation transfer: mt mt1 mti mtc mton mtoff nm neuromelanin ihmt cest aptw apt mtr
    spectroscopy: csi mrs svs mrsi press spectro spectroscopy spektroskopie spectroscopie svsse svsse135 slaser
        steam
    a dynamic series: dyn dynamic dynamik dynamique dynamisch grasp 4d
    elastography: mre
    another nucleus: sodium natrium phosphorus hyperpolarized hyperpolarised
    fat suppression by inversion (STIR): stir turbostir
    another inversion recovery: dir psir fgatir wair wmn flaws nulled nulling
    a part of an MP2RAGE: mp2rage unit1 uni inv1 inv2 uniden
    a map: mese cpmg relax relaxation relaxometry map maps mapping t1map t2map pdmap qmap qt1 qt2 r1map r2map r2star
        t1rho t2mapping t1mapping
        prob probability priors gm wm csf pve tpm jacobian snr tsnr
    a projection: mip mips mipseries mnip maxip projection maximum mpip minimum
    a difference image: subtraction subtract subtracted subtr soustraction subtraktion subtraktionen sustraccion
        subtracao sottrazione substraction subs difference differenz subtrakcija 减影 差分
    computed, not acquired: synthetic synth synthsr symri synmr magic predicted prediction pred fake
        generated gan imputed synthetique synthetisch syntetisk inpainted lesionfilled simulated
        simulation qrapmaster mdme strategically mrcat fused fusion overlay blended 合成
    a template: template atlas colin27 icbm icbm152 avg152
    an uncertainty map: uncertainty entropy stddev
    a part of a Dixon scan: dix dixon opp opposed outofphase inphase outphase wateronly fatonly oop mdixon
    bone, by a short echo time: zte ozteo petra ute umap mumap mrac mrct bonemri blackbone
    a part of a parametric measurement: vfa despot despot1 despot2 mpm mtflash mtflash3d mtsat mrf fingerprinting
    qalas
        flipangle molli shmolli
    several contrasts in one shot: epimix multimix
    a cardiac image: lge pericard
    a screen capture: screenshot screensave snapshot capture screencapture
    a deformation field: warpfield
    another part of the body: becken spine cspine tspine lspine hws bws lws wirbelsaule rachis columna coluna colonna
        rachide rachidien rachidienne medula moelle midollo mrcp leber csp lsp tsp
        hwk bwk lwk isg osg cauda conus coccyx thorax aorta fetus foetus placenta plazenta niere nieren foie
        pankreas spleen ovar ovary testis penis scrotum scapula clavicula clavicle sternum humerus fibula achilles
        meniscus lung lungs lunge bladder bowel mamma
        lumbar thoracic knee liver abdomen pelvis prostate breast cardiac shoulder hip neck wrist ankle
        elbow thigh calf chest heart kidney pancreas uterus rectum tibia femur fetal foetal ws hand foot finger
        tmj hals bauch knie pater patere selka kiefergelenk atm mandible mandibula maxilla larynx laringe pharynx
        nasopharynx nasofaringe hypopharynx
        oropharynx parotis parotid parotide zunge tongue lingua nnh pns paranasal thyroid schilddruse steiss
        lombare lombari lombaire lombo lomber genou koleno kolano hombro epaule cadera
        fegato higado herz brust boyun cuello collo dorsale dorsal
        plexus shoulders fuss ruka noha
        hufte nacken jambe cheville hanche coude poignet bacino spalla gomito polso caviglia piede tobillo codo
        muneca pescoco joelho ombro tornozelo cotovelo quadril nek heup schouder enkel voet elleboog rygg nakke hofte
        skulder ankel albue szyja biodro lokiec nadgarstek miednica brzuch rameno omuz kalca diz dirsek ayak колено
        колена плечо плеча таза стопы кисти локтя 膝 肩 骨盤 骨盆 腹部 膝关节 肩关节 髋关节 盆腔
        前列腺 乳腺 股関節 膝関節 肩関節
        颈椎 腰椎 胸椎 脊柱 脊椎 頚椎 경추 요추 шейный шеи поясничный грудной
        позвоночник
        позвоночника шейного поясничного грудного
    """
)
"""Words that, anywhere in a name or description, mean the series is no source."""

BLEEDING = "susceptibility, to show bleeding"
"""Why a T2 is no source that is made for bleeding: it is a T2* then, but for a turbo spin echo and a FLAIR."""

ASIDE_STEMS: dict[str, str] = _read(
    """
    susceptibility: hemosid haemosid hamosid emosid suscept suszept suscett
    diffusion: diffus diffuz difuz difus dyfuz
    perfusion: perfus permeab
    angiography: angiogr angiogram venogr arteriog
    a segmentation: segmentat segmentier segmentaz segmentac parcellat parcellaz parcelac
    a localizer: localis localiz lokalis lokaliz
    a calibration scan: calibr kalibr
    spectroscopy: spectrosc spektrosk spectrom
    functional: funktionel fonctionnel funzional funcional
    elastography: elastogr
    tagging: tagging tagged
    a map: relaxom cartogr quantitat kwantitat kvantitat
    another part of the body: myelo mielo spinal kregosl gerinc selkar thorac cervical cervico zervik zerviko abdom
        vertebr wirbels wirbelk wervelk servik szyjn krcni bedern hrudn kaularan lannera halsry landryg brostry korsry
        ginocch rodill schulter lumbosa lumbals lumbalw sacroil sakroil iliosa ledzw krzyzow piersiow omurga halswirb
        brustwirb lendenw kniegel handgel huftgel sprunggel ellbog ellenbog halsweich oberbauch unterbauch oberschenk
        unterschenk prostat позвоноч поясничн грудн шейн крестцов спинн
    diffusion tractography: tractogr traktogr
    a difference image: subtrac soustrac sustrac sottraz subtrak
    computed, not acquired: synthesi syntheti synthese synthet syntet synthseg superres
    a deformation field: deform displacem
    """
)
"""What inflected words and words of one family begin with, where the table above has no form of its own."""
BLEEDING_STEMS = (
    *("hemorr", "haemorr", "hamorr", "emorrag", "hemorag", "blutung", "mikroblut", "saignem", "sanguinam", "sangra"),
    *("krwawien", "krwotok", "blodning", "bloding", "kanama", "krvacen", "verenvuot", "кровоизл", "кровотеч", "出血"),
    *("bleed", "microbleed", "출혈"),
)
"""What words for bleeding begin with."""
BODY_STEMS = frozenset(
    {"lumb", "lomb", "sacr", "sakr", "torac", "torak", "pelv", "dors", "becken", "coccy", "coccig", "steissb"}
)
"""What words for parts of the body begin with that names of persons and places begin with as well (Lumbroso,
Sacramento): only what `INFLECTIONS` ends is such a word."""
_ENDS = """
    al ale ales ali als alen aler alis alna alny alni alne alnej alnego ar are ares ari aris aire aires er um o a us is
    ien ienne iens iennes ic ica ico ici iche ique iques isch ische ischen ischer isk iska iskt iek ine ina ino in
    oiliac oiliaca osacral os ubersicht boden ein
"""
INFLECTIONS = frozenset(_ENDS.split())
"""How adjectives and compounds of these stems end."""

ASIDE_ENDINGS: dict[str, str] = _read(
    """
    a segmentation: seg segs segmentation
    a mask or masked image: mask
    a map: map maps
    a deformation field: warp
    a field map: field
    another part of the body: spine wirbelsaule wirbelsaeule shoulder pelvis abdomen thorax lumbar cervical cervicale
        cervicales thoracic lombare lombaire knee
    """
)
"""What joined words end with that are no source: firstseg, biasfield, warpfield, brainmask; 'field' and 'warp', which
names of places end with too, only behind one of `FIELDS`."""
FIELDS = frozenset(
    {"bias", "warp", "def", "deformation", "displacement", "b0", "b1", "svf", "velocity", "vector", "inv"}
)
"""Words that a field is of: a biasfield, but no Oldfield."""

_HEAD = """
    head brain kopf hirn gehirn schadel schaedel tete crane cerveau testa cranio capo encefalo cabeza craneo
    cabeca cerebro
    hoofd hersenen hode hoved huvud hjerne hjarna glowa glowy mozg hlava hlavy mozek kafa beyin fej paa aivot голова
    головы головной мозг мозга 头 头部 頭 頭部 脑 颅脑 脳 대뇌 뇌 두부
"""
HEAD = frozenset(_HEAD.split())
"""Words for the head."""
_NECK = """
    neck hals nacken cou collo cuello pescoco szyja szyi krk krku boyun kaula nyak шеи шея 颈 颈部 頸 頸部 경부
"""
NECK = frozenset(_NECK.split())
"""Words for the neck: no other part of the body where the head is named too."""
_FACILITIES = """
    hospital hospitals hosp klinik klinikum kliniken clinic clinics clinica clinique institute institut instituto
    istituto center centre zentrum centro ospedale hopital krankenhaus spital ziekenhuis sykehus sjukhus hospitalet
    szpital nemocnice hastane hastanesi больница clinical medical
"""
FACILITIES = frozenset(_FACILITIES.split())
"""Words of the name of a hospital, which may be called after a part of the body."""

ASIDE_LAST_WORDS: dict[str, str] = _read(
    """
    a segmentation: label labels roi rois lesion lesions tumor tumour ot truth gt
    a map: fa md rd ad l1 l2 l3 phase ph eddy noise diffmap
    a difference image: sub minus delta
    a deformation field: warp xfm
    computed, not acquired: residual residuals variance confidence filled
    a part of a complex image: real imag imaginary
    """
)
"""Words that mean so only at the end, because they also occur in names of persons, places and purposes."""

ASIDE_PAIRS: dict[tuple[str, str], str] = {
    ("t2", "star"): "susceptibility",
    ("star", "t2"): "susceptibility",
    ("t2w", "star"): "susceptibility",
    ("in", "phase"): "a part of a Dixon scan",
    ("out", "phase"): "a part of a Dixon scan",
    ("opp", "phase"): "a part of a Dixon scan",
    ("phase", "contrast"): "angiography",
    ("field", "map"): "a field map",
    ("field", "mapping"): "a field map",
    ("resting", "state"): "functional",
    ("task", "rest"): "functional",
    ("se", "epi"): "echo-planar imaging",
    ("sense", "ref"): "a calibration scan",
    ("reference", "scan"): "a calibration scan",
    ("ref", "scan"): "a calibration scan",
    ("coil", "survey"): "a calibration scan",
    ("smart", "prep"): "a calibration scan",
    ("smart", "brain"): "a localizer",
    ("smart", "plan"): "a localizer",
    ("asset", "cal"): "a calibration scan",
    ("3", "plane"): "a localizer",
    ("3", "pl"): "a localizer",
    ("three", "plane"): "a localizer",
    ("tri", "planar"): "a localizer",
    ("tri", "plane"): "a localizer",
    ("plan", "scan"): "a localizer",
    ("gre", "field"): "a field map",
    ("gre", "b0"): "a field map",
    ("screen", "save"): "a screen capture",
    ("screen", "shot"): "a screen capture",
    ("magnetization", "transfer"): "magnetisation transfer",
    ("magnetisation", "transfer"): "magnetisation transfer",
    ("true", "fisp"): "balanced steady state",
    ("balanced", "ffe"): "balanced steady state",
    ("b", "ffe"): "balanced steady state",
    ("b", "tfe"): "balanced steady state",
    ("syn", "mr"): "computed, not acquired",
    ("double", "inversion"): "another inversion recovery",
    ("inversion", "1"): "a part of an MP2RAGE",
    ("inversion", "2"): "a part of an MP2RAGE",
    ("inv", "1"): "a part of an MP2RAGE",
    ("inv", "2"): "a part of an MP2RAGE",
    ("mp2rage", "inv"): "a part of an MP2RAGE",
    ("circ", "spin"): "angiography",
    ("time", "resolved"): "a dynamic series",
    ("average", "dc"): "diffusion",
    ("tissue", "prior"): "a map",
    ("pc", "mra"): "angiography",
    ("3d", "pc"): "angiography",
    ("2d", "pc"): "angiography",
    ("b", "0"): "diffusion",
    ("b", "1000"): "diffusion",
    ("t1", "rho"): "a map",
    ("vessel", "wall"): "angiography",
    ("fat", "only"): "a part of a Dixon scan",
    ("water", "only"): "a part of a Dixon scan",
    ("ai", "enhanced"): "computed, not acquired",
    ("dl", "enhanced"): "computed, not acquired",
    ("deep", "enhanced"): "computed, not acquired",
    ("resolution", "enhanced"): "computed, not acquired",
    ("super", "resolution"): "computed, not acquired",
    ("lesion", "filled"): "computed, not acquired",
    ("brain", "bias"): "a field map",
    ("tissue", "class"): "a segmentation",
    ("tissue", "classes"): "a segmentation",
    ("t2", "decay"): "a map",
    ("t2", "shuffle"): "a map",
    ("t2", "shuffling"): "a map",
    ("t2", "prep"): "angiography",
    ("black", "bone"): "bone, by a short echo time",
    ("flair", "star"): "susceptibility",
    ("star", "flair"): "susceptibility",
    ("flip", "angle"): "a part of a parametric measurement",
    ("study", "average"): "a template",
    ("group", "average"): "a template",
    ("group", "mean"): "a template",
}
"""Two words in this order that mean so."""

DIXON_PARTS = frozenset({"in", "out", "opp", "f", "w", "fat", "water", "ip", "op", "inp"})
"""Words of one part of a Dixon scan, where a word for Dixon stands too."""

NOT_FAT = frozenset(
    {"sat", "sup", "supp", "suppr", "suppression", "suppressed", "saturation", "saturated", "shift", "fs"}
)
"""What stands next to 'fat' where the fat is suppressed, not shown."""

PERSONS = frozenset({"dixon", "petra", "ute", "magic", "medic", "hardi"})
"""Techniques that persons are called as well."""

MAP = "a map"
"""Why a value of Image Type that ends so is no source: T1 MAP, VELOCITY_MAP."""

KINDS: dict[str, str] = {
    "LOCALIZER": "a localizer",
    "PHASE": "a phase image",
    "PHASE MAP": "a phase image",
    "P": "a phase image",
    "R": "a part of a complex image",
    "REAL": "a part of a complex image",
    "I": "a part of a complex image",
    "IMAGINARY": "a part of a complex image",
    "DIFFUSION": "diffusion",
    "ADC": "a diffusion map",
    "PERFUSION": "perfusion",
    "ASL": "spin-labelled perfusion",
    "RCBF": "perfusion",
    "RCBV": "perfusion",
    "TTP": "perfusion",
    "MTT": "perfusion",
    "FMRI": "functional",
    "EPI": "echo-planar imaging",
    "SWI": "susceptibility",
    "T2_STAR": "susceptibility",
    "ANGIO": "angiography",
    "ANGIO_TIME": "angiography",
    "TOF": "angiography",
    "PCA": "angiography",
    "FLOW_ENCODED": "angiography",
    "T1 MAP": "a map",
    "T2 MAP": "a map",
    "T2_STAR MAP": "a map",
    "R2 MAP": "a map",
    "B0 MAP": "a field map",
    "B1 MAP": "a field map",
    "FIELD MAP": "a field map",
    "FAT": "a part of a Dixon scan",
    "WATER": "a part of a Dixon scan",
    "F": "a part of a Dixon scan",
    "W": "a part of a Dixon scan",
    "FF": "a part of a Dixon scan",
    "IN_PHASE": "a part of a Dixon scan",
    "OPP_PHASE": "a part of a Dixon scan",
    "OUT_PHASE": "a part of a Dixon scan",
    "IP": "a part of a Dixon scan",
    "OP": "a part of a Dixon scan",
    "UNI": "a part of an MP2RAGE",
    "INV1": "a part of an MP2RAGE",
    "INV2": "a part of an MP2RAGE",
    "SUBTRACT": "a subtraction",
    "SUBTRACTION": "a subtraction",
    "MIN IP": "a projection",
    "MAX IP": "a projection",
    "VELOCITY": "angiography",
    "CINE": "angiography",
    "REALTIME": "a dynamic series",
    "STIR": "fat suppression by inversion (STIR)",
    "TAGGING": "tagging",
    "TEMPERATURE": "a temperature map",
    "SEGMENTATION": "a segmentation",
    "DIXON": "a part of a Dixon scan",
}
"""Values of Image Type, from the third on, of what is no source."""

_COMPUTED_IMAGE = "computed from other series"

DERIVED: dict[str, str] = {
    "MIP": "a projection",
    "MINIP": "a projection",
    "PROJECTION IMAGE": "a projection",
    "PROJECTION": "a projection",
    "MPR": "a reformatted copy",
    "REFORMATTED": "a reformatted copy",
    "CSA MPR": "a reformatted copy",
    "FA": "a diffusion map",
    "TRACEW": "a diffusion map",
    "TENSOR": "a diffusion map",
    "EXP": "a diffusion map",
    "SUB": "a subtraction",
    "SCREEN SAVE": "a screen capture",
    "PASTED": "a screen capture",
    **dict.fromkeys(("VOLUME RENDER", "VRT", "SSD"), "a projection"),
    **dict.fromkeys(("MAXIMUM", "MINIMUM", "ADDITION", "DIVISION", "MULTIPLICATION", "QUANTITY"), _COMPUTED_IMAGE),
    **dict.fromkeys(("STD DEVIATION", "STDDEV", "SD", "DIV", "MUL", "RATIO", "QUANTITATIVE"), _COMPUTED_IMAGE),
}
"""Values of Image Type that mean so in an image that says it is derived."""

CODED: dict[str, str] = {
    "DIFFUSION": "diffusion",
    "PERFUSION": "perfusion",
    "SUSCEPTIBILITY": "susceptibility",
    "T2_STAR": "susceptibility",
    "TOF": "angiography",
    "FLOW_ENCODED": "angiography",
    "STIR": "fat suppression by inversion (STIR)",
    "TAGGING": "tagging",
    "TEMPERATURE": "a temperature map",
    "SPECTROSCOPY": "spectroscopy",
    "CHEMICAL_SHIFT": "a part of a Dixon scan",
}
"""Values of Acquisition Contrast (0008,9209) of what is no source."""

DIFFERENCES = ("a difference image", "a subtraction")
"""How the reasons begin of what tells that one T1 of the examination has an agent."""

COMPUTED = frozenset(
    {
        "a segmentation",
        "a mask or masked image",
        "computed, not acquired",
        "a template",
        "a difference image",
        "an uncertainty map",
        "a map",
    }
)
"""Reasons that hold for a whole folder that is called so."""

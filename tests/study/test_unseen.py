"""Names of many clinics, vendors, languages and data sets, each with what a careful reader would say.

They were written before the code read them, as examples of kinds. No name is a patient's.
"""

import pytest

from tests.study.reader import lone

NATIVE = """
Т1 до КУ
T1 без КУ
Т1-ВИ нативно
T1_TSE_до_введения_контраста
t1_mpr_vor_KM-Gabe
T1 SE nativ tra
t1_tse ohne Gd
T1 vor Kontrastmittelgabe
T1 vor i.v. Gabe
T1 postop nativ
Hypophyse cor T1 nativ
T1 antes de contraste
T1 previo a contraste
T1 simple axial
T1 S/CONTRASTE
AX T1 SIN GD
SE T1 prima di mdc
T1 senza m.d.c.
T1 pre mdc tra
TSE T1 basale sagittale
T1 pré-contraste FS
T1 antes do contraste
T1 sem gd
3D T1 sans injection
T1 avant inj
T1 IV-
Axial T1 sans gadolinium
T1 non injecté
T1 TRA przed kontrastem
T1 bez kontrastu SAG
T1 przed podaniem środka kontrastowego
T1 před k.l.
T1 před kontrastem
T1 nativne sag
T1 před aplikací KL
T1 kontrasztanyag nélkül
T1 natív sag
T1 kontraszt előtt
T1 TRA KONTRASTSIZ
T1 kontrast öncesi
T1 IVKM öncesi
T1 prekontrast
T1 TSE tra voor Gd
T1 zonder gadolinium
3D T1 TFE voor contrast
T1 blanco tra
T1 zonder i.v. contrast
T1 tra uten Gd
T1 før kontrast
T1 före kontrast
T1 utan km
T1 inden kontrast
T1 u/kontrast
T1 ennen tehostetta
T1 ilman tehostetta
natiivi T1 sag
T1 u. gadolinium
T1 προ σκιαγραφικού
T1 χωρίς σκιαγραφικό
T1 fara contrast
T1 fără substanță de contrast
T1 inainte de contrast
T1 prije kontrasta
T1 pre kontrasta
T1 bez kontrasta
T1 平扫 矢状位
単純T1
T1強調 造影前
T1 조영전
T1 비조영 axial
T1 trước tiêm
T1 không tiêm thuốc
T1 بدون صبغة
T1 ללא חומר ניגוד
T1 0 min pre Gd
T1 NCE
T1 WO CON
T1 W/O CON
T1 NON GAD
T1 NO GAD
T1 GAD NO
T1 C NEG
Ax T1 (C-)
T1-weighted, unenhanced
t1_non_contrast_enhanced
t1_noncontrastenhanced
PRE CONTRAST AX T1 SE
wo gad T1
w/out gad T1
T1 w/out
MPRAGE w/o GAD
T1 pre-feraheme
T1 pre-gadavist
T1 pre Dotarem
axT1pre
T1axPre
AXT1NONCON
T1 post-op pre-gad
BraTS-PED-00032-000-t1n
wmh_0_pre_T1
100118_t1_pre
3D_AX_T1_precontrast-intraop
sub01_ses02_T1_preGd_brain_reg_norm
T1 be kontrasto
T1 bez kontrastvielas
T1 ilma kontrastaineta
Т1 без контрасту
Т1 до контрасту
Т1 преди контраст
T1 tanpa kontras
T1 sebelum kontras
T1 pre-infusion
T1 vor Kontrast-Gabe
T1w-pre-Gd
T1w_noGad_3D
AX 3D T1 NON-GAD THIN
Sag T1 FLAIR PRE
brats_met_0054_t1pre
BrainMetShare_105_t1_pre
RESECT_T1_preop_noncontrast
SELLA COR T1 PRE
T1 präkontrast
T1 do kontrasta
T1 fara sdc
T1 prae KM
"""
GIVEN = """
T1 после введения гадовиста
T1 tra после КУ
Т1 с КУ сагиттально
Т1-ВИ с в/в контрастированием
т1 постконтраст FS
t1_se_tra nach Gd-Gabe
T1 SE tra post KM i.v.
t1 mpr nach KM-Gabe
T1w SE +Gadovist
T1 MPRAGE m KM
T1 fs mit Gadolinium cor Orbita
T1 nach Kontrastmittelgabe
T1 nach i.v. Gabe
T1 postop mit KM
T1 nach OP nach KM
T1 Kontrolle 3 Monate KM
Hypophyse cor T1 KM
T1 despues de contraste iv
T1 tras gadolinio
T1 tras CIV axial
SAG T1 POSTCONTRASTE
T1 C/CONTRASTE
AX T1 CON GD
T1 con supresion grasa y gadolinio
T1 postquirurgico con contraste
T1 assiale post mdc
SE T1 dopo m.d.c.
T1 con mdc coronale
T1 3D post-contrasto
T1 fat sat dopo gadolinio
T1 AXIAL POS-GADO
T1 pós-contraste SAG
T1 apos contraste
T1 com gd
T1 SE ax injecté
3D T1 EG gado
T1 axiale apres inj
T1 +gado
T1 fat sat IV+
T1 FS inj
Axial T1 avec gadolinium
T1 post-gadolinium tardif
T1 TRA po kontraście
T1 SAG + kontrast
T1 z gadolinem
T1 3D po podaniu środka kontrastowego
T1 po k.l. tra
T1 s kontrastem
T1 po aplikaci KL
T1 po kontrastní látce
T1 KL+
T1 po gadoliniu
T1 kontrasztanyag után
T1 iv. kontraszt
T1 postcontrastos
T1 TRA KONTRASTLI
T1 kontrast sonrası sag
T1 IVKM sonrası
T1 postkontrast cor
T1 kontrast madde sonrası
T1 TSE tra na Gd
T1 met gadolinium
3D T1 TFE na contrast
T1 SE tra + contrast
T1 na i.v. contrast
T1 tra med Gd
T1 etter kontrast
T1 efter iv kontrast
T1 med km
T1 m/kontrast
T1 tehosteen jälkeen
T1 tehosteella
T1 varjoaineen jälkeen
T1 m. gadolinium
T1 cor +km
T1 tra kontrast
T1 μετά το σκιαγραφικό
T1 cu contrast
T1 post contrast iv
T1 dupa contrast
T1 poslije kontrasta
T1 posle kontrasta
T1 s kontrastom
T1 sa kontrastom
T1 nakon kontrasta
T1 增强扫描 轴位
矢状位T1+C
T1WI+C 横断位
Ax T1 增强
造影T1 axial
T1強調 造影後
T1 조영후
T1 조영증강 axial
T1 sau tiêm thuốc
T1 مع صبغة
T1 עם גד
T1 עם חומר ניגוד
t1_space_sag_iso_fs_KM
Sag 3D T1 BRAVO +Gd
AX 3D T1 MP-RAGE POST
AX FSPGR +C
AX CUBE T1 FS +C
OAx T1 SE +C
Cor T1 FSE FS+C
AX T1 SPGR GAD
sT1W_3D_TFE +C
T1W_SE_tra CLEAR Gd
T1W_IR_TSE GADO
3D T1 TSE MSDE +C
T1_VISTA_SPIR_Gd
MPRAGE_SENSE2_gad
SE T1 AX CE
T1 JET FS +C
t1_gre_fsp_3d_sag_iso_C+
t1_fse_mx3d_sag_iso+c
T1 5min post Gd
T1 delayed 15min Gd
T1 post inj 0.1 mmol/kg
T1 +15min gado
T1 i.v.
T1 PCE
T1 W CON
T1 W/CON
T1 GAD YES
T1 C POS
Ax T1 (C+)
T1 [Gd]
T1-weighted, gadolinium-enhanced
T1-weighted contrast-enhanced
T1CE_axial
T1w_ce
t1_contrast_enhanced
POST CONTRAST AX T1 SE
GD ENHANCED T1 MPRAGE
+GD SAG T1
+C SAG T1
w gad T1
MPRAGE w/GAD
T1 half dose gad
T1 double dose gad
T1 2x Gd
T1 after 10ml Gadovist
T1 Gd-DTPA
T1 Gd-BOPTA
T1 Gd DOTA tra
T1_gadopiclenol
T1 Vueway
T1 feraheme
T1 post Dotarem
T1 Gadolinium fatsat ax
axT1fsGd
axT1GdFS
T1axGd
corT1post
sagt1postgad
T1axPost
AXT1FSPOSTCONTRAST
T1SAGGAD
T1 preop stealth gad
T1 stealth post
T1 post-op post-gad
pat0012_20200101_T1_Gd
S0001_T1Gd_reg
T1CE_preproc
t1ce_to_SRI
BraTS20_Training_001_t1ce
BraTS-MET-00010-000-t1c
UPENN-GBM-00008_11_T1GD_unstripped
UCSF-PDGM-0123_T1c_bias
Patient-012_week-044-2_CT1
patient01_T1WKS
REMBRANDT_900_00_AXIAL_T1_POST_GD
TCGA-02-0006_1996.08.23_t1Gd
VSD.Brain.XX.O.MR_T1c.54514
BRATS_HG0001_T1C
100118_bravo_t1_post
ReMIND-001_3D_AX_T1_postcontrast
glioma_012_t1ce_N4_brain_resampled
sub01_ses02_T1_postGd_brain_reg_norm
DOE_JOHN_T1_KM
M12_MPRAGE_GD
T1 orbits FS post
IAC T1 FS C+
pituitary cor T1 post
T1 su kontrastu
T1 po kontrastinės medžiagos
T1 ar kontrastvielu
T1 kontrastainega
Т1 з контрастом
Т1 після контрасту
Т1 след контраст
T1 amb contrast
T1 dengan kontras
T1 setelah kontras
T1 lepas kontras
T1 post infusion
T1 nach Infusion Gadovist 7ml
T1 30s nach KM
T1 Spätaufnahme nach KM
T1 KM-Gabe i.v.
T1 se tra fs p. KM
T1w-post-Gd
T1 Gd 5'
T1 3D GRE post-Gad MPR
T1w_postGad_3D
AX 3D T1 POST GAD THIN
OBL T1 POST
Sag T1 FLAIR POST
AX T1 FLAIR +C
lesjak_p12_T1WKS
brats_met_0054_t1post
UCSF_BMSR_100_T1post
NYUMets_T1post
BrainMetShare_105_t1_gd
vs_gk_12_t1ce
cereb_tum_017_T1_CE_BET
LUM_P34_w021_CT1_bias
Case1-T1-gad
IvyGAP_W10_AX_T1_POST
WIP T1W 3D TFE CS5 GD
T1 BB SENSE post
T1 orbita fs KM cor
hypofyse T1 med Gd cor
SELLA COR T1 POST
T1 dupa SDC
Т1 +К
Т1 С+
Т1 с контр
T1 dopo m.d.c. ev
T1 con contraste e.v.
T1 con gado endovenoso
T1 KONTRASTLI AKS
"""
SILENT = """
Т1 ВИ 3D изотропная
T1 MPRAGE Navigation
T1 postoperativ Kopf
T1 Kontrolle nach OP
Hypophyse T1 sag
T1 con supresion grasa
T1 post quirurgico
FFE3D T1 sagittale
T1 3D sag sella
T1 strzałkowy
T1 met vetsuppressie
T1 med fettsuppression
T1強調 矢状断
t1_mprage_tra_p2_iso_0.9
t1_mprage_sag_wave-caipi_1mm
t1_mpr_sag_p3_CS4
t1_vibe_fs_cor_bh
t1_fl3d_sag_iso
t1_fl2d_sag
t1_starvibe_tra
t1_space_dark-blood_tra
Sag 3D T1 BRAVO
3D AX FSPGR IR PREP
Sag CUBE T1
AX T1 FLAIR PROPELLER
AX T1 FSE
OAx T1 SE
sT1W_3D_TFE_SENSE
T1W_3D_TFE CS-SENSE
T1W_SE_tra
T1W_IR_TSE
3D_T1W_TSE_BB_MSDE
T1W_FFE_tra
T1 VISTA sag
BrainView T1
3D T1 FFE MPRAGE axi
SE T1 2D AX
isoFSE T1
t1_gre_fsp_3d_sag_iso
t1_fse_mx3d_sag_iso
T1 post-RT week 6
T1 post chemo
T1 pre-radiotherapy
T1 preop stealth
T1 post resection
T1 postresection day 1
T1 post biopsy
T1 post SRS 3 months
T1 post shunt
T1 post seizure
T1 post covid
T1 post-tPA
T1 post thrombectomy
T1 post surgical
T1 post Rx
T1 postnatal
T1 pre-term
T1 pre-treatment
T1 pre-implant
T1 high contrast
T1 with motion
T1 with motion correction
T1 with PROPELLER
T1 w PROMO
T1 w/ fat sat
T1 w/o fat sat
T1 without fat suppression
T1 without moco
T1 w/o GRAPPA
T1 no FS
T1 non fat sat
T1 no moco
T1 plus fatsat
T1 post-processing
T1 postmortem
20190312_T1_tra
pat0012_20200101_T1
S0001_T1_reg
T1_bet
T1_N4
T1_n4_bet_reg
T1_ss
T1_brain_reg2MNI
T1_2mm_MNI
T1_mni_linear
T1_preproc
T1_raw
T1_orig
T1_nuc
BraTS20_Training_001_t1
IXI055-Guys-0730-T1
OAS30001_MR_d0757_T1w
sub-OAS30001_ses-d0129_run-01_T1w
ADNI_002_S_0295_MR_MP-RAGE_br_raw_20060418193713091_1_S13408_I13722
1000123_20252_2_0_T1_unbiased_brain
Patient-012_week-044-2_T1
training01_01_mprage_pp
WMH_sub19_3DT1
sub-r001s001_ses-1_space-MNI152NLin2009aSym_T1w
TCGA-02-0006_1996.08.23_t1
VSD.Brain.XX.O.MR_T1.54513
NFBS_A00028185_T1w
DOE_JOHN_T1
Kwiatkowski_T1
Gadtke_T1
Postma_T1_ax
Prewitt_T1_ax
Contreras_T1
Nachtigall_T1_tra
Mitterer_T1
visit2_T1_sag
V03_T1
M12_MPRAGE
bl_T1
T1 orbits ax
IAC AX T1
T1 FATSAT AX
AX T1 FSE-XL
Sag T1 FLAIR
sag t1 mprage TI1100
MPRAGE_GRAPPA2
MEMPRAGE_4e_p2_1mm_iso RMS
ABCD_T1w_MPR_vNav
T1w_MPR1_Norm
MP-RAGE SENSE 1.2
ADNI3 Accelerated Sag IR-FSPGR
OASIS3 MPRAGE
NACC_T1_sag
sub_NDARINV_T1w
HBN_T1w_HCP
CamCAN_CC110033_T1w
PNC_mprage_moco3
cereb_tum_017_T1_BET
ENIGMA_T1
kirby_KKI2009_01_MPRAGE
MRBrainS13_T1
MRBrainS13_T1_IR
iSeg_subject1_T1
t1 sag 3D FFE 0.9 Ambition
WIP T1W 3D TFE CS5
T1 BB SENSE
T1 gre 3D ACS 1mm (UIH)
EG T1 3D
T1 RADAR tra
T1 tra Wdh
T1 sag neu
T1 AX MOVIMIENTO
MEMPRAGE multi-echo
Egger_T1
Evelyn_T1
Pratt_T1
P31_T1
Ax T1 FSE AIR Recon DL
T1W TSE SmartSpeed AI
Sag T1 CUBE HyperSense
T1 oax
Blair_T1
"""
T2 = """
Т2-ВИ аксиально TSE
T2 TSE корональная
T2w TSE gewichtet axial dünn
t2 tse Schläfenlappen parallel
Innenohr T2 3D SPACE
T2 AXIAL cerebro
TSE T2 coronale encefalo
T2 axial crânio
T2 coupes fines CAI
T2 TSE czołowy
T2 axiális TSE
T2 TSE AKSİYEL
T2 tvär TSE
T2WI 轴位 压脂
T2強調 横断
t2_space_sag_p4_iso_1mm
t2_haste_tra_fast
t2_tse_rst_cor_hippo
Sag CUBE T2
AX T2 PROPELLER FS
T2W_TSE_MVXD
T2 VISTA cor
FASE T2 cor
FSE2D T2 AX
T2 JET AX
isoFSE T2
t2_fse_tra_fs
t2_fse_mx3d_sag
BraTS20_Training_001_t2
IXI055-Guys-0730-T2
100307_T2w_acpc_dc_restore_brain
T2 orbits cor FS
AX T2 IAC thin
AX T2 FS POST
Ax T2 FRFSE-XL
AX T2 FS PROP
T2w_SPC_vNav
HighResHippocampus T2
vs_gk_12_t2
dHCP_T2w_restore
WIP T2W TSE ms
T2 SPIR cor orbit
SELLA COR T2
Leberknecht_T2
C2-T2
L1_T2
T2 RADAR AX
"""
FLAIR = """
Т2 FLAIR аксиальная
FLAIR tra 4mm Kopf
t2_tirm_tra_darkfluid_ohne_fs
FLAIR AX con supresion de grasa
FLAIR assiale 3D
FLAIR coro
FLAIR poprzeczny
FLAIR axiális
FLAIR KORONAL
FLAIR tra hersenen
FLAIR tra hjärna
T2 FLAIR 轴位
水抑制 T2 FLAIR
t2_blade_tra_dark-fluid
t2_space_da-fl_sag_p2_iso
SAG CUBE T2 FLAIR FS
Sag T2 FLAIR CUBE
AX T2 FLAIR PROPELLER
3D_VIEW_FLAIR_SHC
sBW_FLAIR
FLAIR_longTR_SPIR
BrainVIEW_FLAIR
FSE_FLAIR AX
t2_fse_flair_tra
t2_arms_flair_tra
t2_fse_flair_mx3d_sag
BraTS20_Training_001_flair
BraTS-SSA-00007-000-t2f
UPENN-GBM-00008_11_FLAIR
UCSF-PDGM-0123_FLAIR_bias
sub-OAS30001_ses-d0129_acq-TSE_FLAIR
ADNI_Sagittal_3D_FLAIR_Br
1000123_20253_2_0_T2_FLAIR_unbiased
patient01_FLAIR_isovox
WMH_sub19_FLAIR_pre
sub-strokecase0001_ses-0001_FLAIR
TCGA-02-0006_1996.08.23_flair
PKG_Mets_001_flair
OpenMSL_fl_2
bl_FLAIR
AX T2 FLAIR +C
AX FLAIR FS POST GAD
Sagittal 3D FLAIR (MSV22)
OASIS3_FLAIR_AX
NACC_FLAIR
lesjak_p12_FLAIR
LUM_P34_w021_FLAIR
RESECT_Case1-FLAIR
KKI2009_01_FLAIR
MRBrainS13_T2_FLAIR
WIP 3D FLAIR CS
FLAIR SPIR tra
FLAIR FSE ACS tra
t2_space_dark-fluid_sag_p2_ns-t2prep
3D FLAIR T2prep
"""
PD = """
pd_tse_tra_p2
IXI055-Guys-0730-PD
training01_01_pd_pp
"""
CT = """
CT_head_soft
CT brain plain
CT Schädel nativ
CCT_nativ_1mm
ct_brain_0.6_H30
"""
NO_SOURCE = """
ДВИ b1000
ИКД карта
МР-ангиография TOF
SWI гемосидерин
Т1 шейный отдел
Поисковый T1
СКТ_перфузия
t2_fl2d_tra_hemo
Diffusion T2-gewichtet b0
Zeit-of-Flight Angio
T1 HWS sag
KM Dynamik T1 Hypophyse
CISS 3D Innenohr
T1 Subtraktion KM-nativ
t1_vibe_fs_tra_dyn_KM
DIFUSION AXIAL B1000
EPI T2 difusion
T2 EG hemo axial
Localizador 3 planos
T2 GRE emosiderina
DWI assiale
Sottrazione T1
T2 gradiente eco
écho de gradient T2
Diffusion Axial
T1 soustraction
dyfuzja b1000
difuze T2
difüzyon
Diffusie ADC
DWI 弥散
拡散強調
位置決め
t2_swi3d_tra_p2_1.5mm
t2_me2d_tra
t2_medic
ep2d_diff_4scan_trace_p2_TRACEW
resolve_4scan_trace_tra_192_ADC
ToF-3D_multi-slab
tof_fl3d_tra_p4_multi-slab_MIP_SAG
gre_field_mapping_2mm
ge_func_31meas
AAHead_Scout_MPR_Tra
Localizer_aligned
BLACK_BLOOD_t1_space_vessel wall
PETRA_UTE
MP2RAGE_wip900_UNI_DEN
t1_mp2rage_sag_INV2
t1_mpr_SyntheticCT
ciss3d_tra_iso
pd_t2_tse_tra
t1_twist_dyn_tra
t1_vibe_dixon_sag_W
t1_vibe_dixon_sag_opp
t1_tse_dixon_cor
t1_tse_dixon_cor_F
csi_slaser_135
AX SWAN 3D
3D ASL (non-contrast)
AX DWI ASSET
Ax FIESTA 3D IAC
COSMIC 3D
ZTE T1 skull
oZTEo bone
MAGiC 5-CONTRAST
MAGiC T1
MAGIC STIR synthetic
Ax LAVA-Flex WATER
WATER: Ax T1 IDEAL +C
InPhase: Ax T1 FLEX
FAT: Cor T2 IDEAL
MERGE Ax
FILT_PHA: Ax SWAN
Reg - DWI
3Plane Loc SSFSE
ASSET calibration
GRx:3DT1 MIP
QALAS
3D-QALAS_T1
DISCO dyn pit
TRICKS MRA
BRAVO_T1map
3D_DRIVE T2 IAC
VEN_BOLD
sWIP SWIp mIP
isoFFE
T2W_FFE
DWI_SSh
dReg - DWI
dSReg
PRESTO perf
mDIXON_T1_W
mDIXON-W_T1w_TSE
T1 mDIXON TSE opp
T1W mDIXON TSE +C W
eThrive dyn
B-TFE cor
3D_PCA_MRV
SmartSurvey
3D APT
APTw_map
T1rho
B1 calibration
SENSE_refscan
BSI
BASG
primeFSE T2 GRE
gre_swi_3d_tra
epi_dwi_tra_b1000
mp_gre t2 map
T1 MT prep
T1_to_T2.mat
T1_gm_prob
T1_brain_pve_1
T1_brain_mixeltype
T1_fast_seg
T1_aseg
brainmask_T1
T1_mask_filled
T1_tissue_class
BraTS20_Training_001_seg
UPENN-GBM-00008_11_automated_approx_segm
UPENN-GBM-00008_11_DTI_FA
UPENN-GBM-00008_11_DSC_ap-rCBV
UCSF-PDGM-0123_SWI
UCSF-PDGM-0123_ADC
UCSF-PDGM-0123_DTI_eddy_FA
UCSF-PDGM-0123_brain_parenchyma_segmentation
UCSF-PDGM-0123_ASL
IXI055-Guys-0730-MRA
IXI055-Guys-0730-DTI-00
ADNI_Axial_T2_STAR_Br
100307_aparc+aseg
T1wDividedByT2w_ribbon
T1_fast_T1_brain_bias
Patient-012_week-044-2_seg_mask
patient01_brainmask
training01_01_mask1
wmh_0_wmh
ISLES2022_sub-strokecase0001_dwi
sub-strokecase0001_ses-0001_adc
sub-r001s001_ses-1_space-MNI152NLin2009aSym_label-L_desc-T1lesion_mask
TCGA-02-0006_1996.08.23_GlistrBoost_ManuallyCorrected
VSD.Brain_3more.XX.O.OT.54517
A00028185_ses-NFB3_T1w_brainmask
USpredura
T2 TSE sag C-spine
T2 sag whole spine
T1 sag WS
t2_tse_sag_LWS_320
T1 cspine post gad
T2 IAC FIESTA
pituitary dynamic cor T1
Carotid T1 black blood
MRV 3D PC
MRV post gad T1
TMJ T1 sag
T1 face neck
Parotis T1
T1 nasopharynx
larynx T2
brachial plexus STIR
PNS cor T2
T2 sag foot
T1 hand cor
T2 dark fluid minus T2
FLAIR minus T1
MTR_map_T1
DCE_T1map_pre
DCE T1 FA15
T1_FA_10deg
VFA_T1_flip5
DESPOT1
MPM_T1w_kp_mtflash3d
PDw MTsat
T1 IR TI 2500 map
double IR
FLAWS_inv1
WM nulled MPRAGE
QSM echo1 mag
Mag_Images
T2 decay
T2 prep map
T2 shuffle
Ax T2 BLOOD
MRF T1
EPIMix T1
EPIMix FLAIR
NATIVE_STIR cor
Black bone
SilentMRA
4D flow
CSF flow PC
FLAIR star
T2star FLAIR fused
PET_MR_MRAC T1
MRAC_PET_UTE
umap
CBF_T1space
LGE T1
CTA head
CT perfusion
CTP_Tmax
CT_mask
T1 KM-Sub
COR STIR
Ax T2 FLAIR synthetic
ABCD_T1w_MPR_vNav_setter
T2w_SPC_setter
SpinEchoFieldMap_AP
rfMRI_REST1_LR_SBRef
dMRI_dir98_AP
field map PRELUDE
GradWarp B1 correction map
Axial 3TE T2 STAR
HighResHippocampus mask
Axial DTI (MSV22)
3D pCASL
SWI_mag
MTI_on_T1
T1_mt1
CC110033_mti_tr30
lesjak_consensus_gt
UCSF_BMSR_100_subtraction
cereb_tum_017_T1_MNI_warp
cereb_tum_017_coreg_matrix
LUM_P34_w021_HDGLIO_seg
LUM_P34_DeepBraTumIA
iUS_resection
Case1-US-before
ISLES_tmax
KKI2009_01_B1
KKI2009_01_VASO
LabelsForTesting
iSeg_T1_label
dHCP_drawem
mDIXON-All
FFE phase
SWIp
TRANCE
4D-TRAK
QFLOW
inflow TOF
T1W mDIXON FFE ip
T2 STAR FFE
mp2rage denoised
GRE_FSP_3D DCE
UTE T1 bone
pCT
CT overlay T1
CT Angio
CT perfusion TTP
CT segmentation
T1 BWS KM
t1 tse sag cervicodorsal
T1 ganzkörper
T1 Knie
T2 becken
T2 Hals
T1 pelvis mit KM
T2 mielo RM
T2 myelography
T1 colonne cervicale
rachis T2
T1 kręgosłup
T2 páteř
T1 selkä
T2 gerinc
hypofyse dynamic
EG T2 ax
T2 EG
T2 SARGE
Ax T2 multi-echo
t2_se_mc
T2 16 echoes
SUB AX T1 POST
sub_T1_KM
Delta T1
T1 bias field
T1_lesion_filled
T1_filled
Simulated FLAIR
Syn T2 FLAIR
QRAPMASTER T1W
MDME T2
STAGE enhanced T1W
SmartPlan T1
GRASP T1
T1 4D
WAIR T2
White matter nulled T1
3D-EDGE T1
VWI T1
MRE T1
23Na T1
T2-relaxation
T1 rachide
T2 moelle
T1 midollo
CSP T1
T2 MRCP
T1膝
T2 sag C3-C7
T2 tra HWK 3-5
T2_tra_L5_S1
T2 coccyx
T2 conus
T2 HASTE thorax
T2 fetus
T2 DESS
T2 me3d
MRCAT T1
FLAIR delta
腰椎T1
"""
ASKED = """
T1 Navi mit
T1 W WO
T1 +/- C
T1 with & without gad
T1 post-fix
KM_T1_tra
GD_0042_T1
CT_T1_fused
T1 pre-post
post-pre T1 comparison
T1 both
T1 c/s contraste
T1 s/c c/c
T1 sin con CIV
T1 sans puis avec gado
T1 gd+-
T1 +-C
T1 平扫+增强
T1 単純+造影
T1 造影前後
T1 Hochkontrast
PG AX T1
CT2T1
FLAIR2T1
T1 N C
"""


KINDS = {
    "given": (GIVEN, "t1c", "given"),
    "native": (NATIVE, "t1", "denied"),
    "silent": (SILENT, "t1", ""),
    "t2": (T2, "t2", ""),
    "flair": (FLAIR, "flair", ""),
    "pd": (PD, "pd", ""),
    "no source": (NO_SOURCE, "", ""),
    "asked": (ASKED, "", ""),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("as_file", [True, False], ids=["file name", "description"])
def test_a_name_is_read_as_a_careful_reader_would(kind, as_file):
    names, contrast, agent = KINDS[kind]
    read = {name: lone(name, as_file) for name in names.strip().splitlines()}
    assert {name: found for name, found in read.items() if found != (contrast, agent)} == {}


def test_a_ct_is_read_by_its_file_name():
    assert {name for name in CT.strip().splitlines() if lone(name, True)[0] != "ct"} == set()

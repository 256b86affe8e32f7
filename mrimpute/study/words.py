"""The words of names and descriptions, in many languages: what each one means for the identification of a series.

Tables only; `text.py` finds the words in a text, `reading.py` and `agent.py` decide what they say together. Words
stand folded (`text.fold`): lower case, no accents. One table serves file names, folders, sidecars and DICOM texts.
"""

from enum import StrEnum

from mrimpute.contrasts import ALIASES
from mrimpute.study.asides import ASIDE_LAST_WORDS, ASIDE_PAIRS, ASIDE_WORDS
from mrimpute.study.fillers import FILLERS


class Kind(StrEnum):
    """What a word is about."""

    CONTRAST = "contrast"  # states a contrast; the value is its name
    T1_SEQUENCE = "t1 sequence"  # a sequence that is T1-weighted by design
    DARK_FLUID = "dark fluid"  # inversion recovery of fluid: FLAIR, or T1-FLAIR beside a T1
    GRADIENT = "gradient"  # gradient echo: a T2 with it is T2*
    DUAL = "dual"  # two echoes in one series
    ASIDE = "aside"  # is no source; the value is why
    AGENT = "agent"  # names a contrast agent
    WEAK_AGENT = "weak agent"  # names one, or something else, by its place: 'contrast', a lone C
    GIVEN = "given"  # says alone that an agent was given
    DENIED = "denied"  # says alone that none was given
    AFTER = "after"  # 'post': an agent was given, unless it belongs to something else
    WITH = "with"  # an agent was given if one is named next
    BEFORE = "before"  # 'pre': no agent yet, unless it belongs to something else
    UNTIL = "until"  # 'vor', 'avant': no agent yet if one is named next
    WITHOUT = "without"  # no agent if one is named next
    TIME = "time"  # a time point of the disease: post-op
    EVENT = "event"  # makes a time point of the 'pre' or 'post' before it
    EXAM = "exam"  # the name of an examination with and without agent
    PLANE = "plane"  # the value is axial, sagittal or coronal
    VOLUME = "volume"  # acquired in 3-D
    COPY = "copy"  # a processed reconstruction
    RELATION = "relation"  # one image in the space of another
    FILLER = "filler"  # known, and without meaning here
    NUMBER = "number"
    UNKNOWN = "unknown"


Meaning = tuple[Kind, str]

SEVERAL_ECHOES = "several echoes"
"""Value of a word for more than two echoes: of a T2 they are measured for a map; a T1 of several is combined."""

_TABLE: tuple[tuple[Kind, str, str], ...] = (
    # what a contrast or its sequence is called
    (
        Kind.CONTRAST,
        "t1",
        """
        t1wi t1weighted t1gew t1pond t1pesato t1ponderado 3dt1w rt1 rt1w т1 т1ви т1взв
        """,
    ),
    (
        Kind.CONTRAST,
        "t2",
        """
        t2wi t2weighted t2gew t2pond t2pesato t2ponderado 3dt2w rt2 rt2w т2 т2ви т2взв
        """,
    ),
    (
        Kind.CONTRAST,
        "flair",
        """
        t2flair flare t2wflair rflair флаир флейр
        """,
    ),
    (
        Kind.CONTRAST,
        "pd",
        """
        proton protonendichte protondensity dp
        """,
    ),
    (
        Kind.CONTRAST,
        "ct",
        """
        cct ncct skct
        """,
    ),
    (
        Kind.T1_SEQUENCE,
        "t1",
        """
        mprage spgr fspgr irspgr irfspgr bravo efgre3d tfl tfl3d tfl3d1 turboflash memprage
        """,
    ),
    (
        Kind.DARK_FLUID,
        "flair",
        """
        tirm darkfluid dunkelfluid spcir cubeflair cubet2flair
        """,
    ),
    (
        Kind.GRADIENT,
        "gradient echo",
        """
        mgre megre megradient
        gre ffe flash fl2d fl3d fgre gradient gradiente gradienten gradientenecho grass fe2d fe3d fmpspgr gradientecho
        ge2d ge3d eg sarge rssg
        """,
    ),
    (
        Kind.DUAL,
        "dual echo",
        """
        dual double doubleecho dualecho pdt2 t2pd dpt2 dpdt2 doppelecho dualse dualtse
        """,
    ),
    (
        Kind.DUAL,
        SEVERAL_ECHOES,
        """
        multiecho multiechos multiecos multicontrast
        """,
    ),
    # contrast agents: named, given, denied, and the words that need what stands next to them
    (
        Kind.AGENT,
        "agent",
        """
        pdc sdc ivkm ку кв контр גד ניגוד تباين صبغه الصبغة
        civ σκιαγραφικο σκιαγραφικου صبغة kontrasztanyag kontrasztanyaggal thuoc
        gd gad gado gadolinium gadolinio gadolinia gadoliniowy gda kontrastmittel kontrastmiddel km mdc ks kl kv
        dtpa bopta
        ce kontrastmedel kontrastvloeistof kontrasttiaine contrastmiddel contrastmedia gadovist gadavist dotarem
        magnevist prohance multihance omniscan clariscan artirem primovist eovist vueway elucirem pixxoscan
        optimark cyclolux dotagraf gadoterate gadobutrol gadoteridol gadoteric gadobenate gadopiclenol
        gadodiamide gadopentetate gadoxetate feraheme ferumoxytol kontrast kontrastu kontrastem kontrastom
        kontrastni kontrasta kontrasti kontrastne contraste contrasto contraststof varjoaine varjoaineella
        tehosteaine tehosteaineella kontrastia контраст контраста контрастом контрастирования контрастированием
        контрастирование гадолиний 造影剂 造影劑 造影剤 对比剂 對比劑 조영제 钆 釓
        """,
    ),
    (
        Kind.WEAK_AGENT,
        "agent",
        """
        contrast contr kontr c k g agent pc
        """,
    ),
    (
        Kind.GIVEN,
        "given",
        """
        kontrasztos tiem pce infusion infusione infuzji infuze podaniu podaniem podania aplikaci aplikace
        aplikacji podani administration administered
        administracion administracao somministrazione введения введением введении введение 强化扫描 增强扫描
        enhanced enh enhance enhancement postcontrast postcontraste postcontrasto postgad postgado postgd postkm
        postmdc postgadolinium postkontrast postinj postinjection postcm postc postce poscontraste posgado posgd
        posgad contrastenhanced kmgabe inj inject injected injecte injectee injection injektion iniezione
        inyeccion injecao injetado iniettato contrastado contrastada contrastato rehausse withcontrast withgad
        withgd withgado avecgado avecgd congado mitkm mitgd nachkm nachgd apresgado apresgd apresinj kontrastli
        kontrastowe kontrastowy pokontrastowe pokm pogd poks gdpost gadpost kmpost cemr ivcontrast ivgad
        medkontrast efterkontrast nakontrast пк постконтраст постконтрастный постконтрастное постконтрастные
        контрастный усиление
        增强 增強 增强后 增強後 强化 造影 造影後 造影后 造影あり 注射后 注射後 注药后 조영 조영후 조영증강
        """,
    ),
    (
        Kind.DENIED,
        "denied",
        """
        nativ native nativa nativo nativni natywne natywny natywna nativt natif blanco plain unenhanced nce
        simple simples нативно basal basale kontrastlos kontrastfri noncontrast noncon nonenhanced nocontrast
        nocon nogd nogad nogado nokm nonce precontrast precontraste precontrasto pregad pregado pregd prekm
        pregadolinium prekontrast preinj preinjection prec prece premdc vorkm vorgd ohnekm ohnegd sanscontraste
        sansgado sansgd sansinj singado singd sincontraste semcontraste semgado senzamdc utankontrast
        utenkontrast udenkontrast zondercontrast bezkontrastu bezks bezkl ilmanvarjoainetta keinkm kontrastsiz
        niekontrastowe withoutcontrast withoutgad wocontrast wogad noninjecte avantinjection нативный нативная
        нативное нативные бесконтрастный бесконтрастное неконтрастный 平扫 平掃 单纯 単純 單純 造影前 造影なし
        增强前 增強前 非造影 非增强
        注射前 无造影 조영전 비조영
        """,
    ),
    (
        Kind.AFTER,
        "after",
        """
        post
        """,
    ),
    (
        Kind.BEFORE,
        "before",
        """
        pre pra prae
        """,
    ),
    (
        Kind.WITH,
        "with",
        """
        with w
        """,
    ),
    (
        Kind.WITH,
        "hint",
        """
        delayed delay tardif tardive tardivo tardia spataufnahme bolus iv ev washout endovenoso endovenosa endovena
        intravenous intravenoso intravenosa intraveineux
        """,
    ),
    (
        Kind.WITH,
        "with agent",
        """
        setelah selepas lepas після след amb apos tras etter dupa nakon sa sau μετα עם אחרי לאחר بعد cu ar
        dengan с με مع co
        mit avec con com med met ile z ze s со su nach apres after dopo depois despues efter sonrasi po pos na
        posle poslije после jalkeen utana plus
        """,
    ),
    (
        Kind.UNTIL,
        "until",
        """
        sebelum преди fore previo previa inainte truoc avanti prior προ πριν לפני قبل vor avant before prima antes
        przed
        for innan voor oncesi до перед ennen inden prije
        """,
    ),
    (
        Kind.WITHOUT,
        "without",
        """
        without wo
        """,
    ),
    (
        Kind.WITHOUT,
        "without agent",
        """
        ללא בלי fara be ilma tanpa χωρις بدون khong
        ohne sans senza sin sem uten utan uden zonder bez olmadan ilman без no non not kein keine keinem keinen
        inte ikke nicht niet none minus geen ingen inget nessun sen nie brak
        """,
    ),
    (
        Kind.EXAM,
        "exam",
        """
        wwo wow withandwithout womit wandwo mitohne
        平扫增强 平扫加增强 平掃增強 单纯造影 単純造影 造影前後 造影前后 增强前后 增強前後
        """,
    ),
    # time points of a disease
    (
        Kind.TIME,
        "time",
        """
        postop preop intraop periop postoperative preoperative postoperativ preoperativ postoperatorio
        preoperatorio postoperatoire preoperatoire postrt prert postradio postchemo postrx postsurg postsurgery
        presurgery presurg posttreatment pretreatment posttx pretx postbx prebx postbiopsy posttherapy kontrolle
        kontroll control controle controllo kontrola kontrol kontrolli verlauf verlaufskontrolle nachsorge
        pretherapy postres postresection baseline followup fu postproc preproc postprocessed preprocessed
        postprocessing preprocessing postictal postpartum posttrauma posttraumatic postmortem postradiation
        postradiotherapy poststroke posterior preprocess postprocess postdbs predbs preterm premature prenatal
        postnatal 术前 术后 術前 術後 수술전 수술후
        """,
    ),
    (
        Kind.EVENT,
        "event",
        """
        op operative operation operativ operatoire operatorio surg surgery surgical rt rtx radiation
        radiotherapy rad irradiation treat treatment tx therapy therapie chemo rx biopsy bx resection fossa proc
        processing processed trauma traumatic stroke ictal partum mortem drug implant gk gammaknife gkrs srs dbs
        tms covid bestrahlung operacion operacao chirurgie opera zabiegu tbi concussion exercise intervention
        training sleep dose shunt stent radio seizure term thrombectomy thrombolysis lysis tpa stenting coiling
        clipping embolization craniotomy craniectomy quirurgico quirurgica chirurgico chirurgical chirurgicale
        cirurgia
        operacja operacji operacie operacii operace operaci operasjon operasjonen operationen operatie ameliyat
        ameliyati leikkaus leikkauksen mutet операции операция intervento intervencion cirugia chirurgia radioterapia
        radioterapie radiotherapie bestraling stralebehandling облучения терапии лечения
        cirurgico resektion resezione reseccion exeresis exerese menopausal covid19 injury
        """,
    ),
    # planes, volumes, copies
    (
        Kind.PLANE,
        "axial",
        """
        ax axial axi aks oax axiale axialis axiaal tra trans trs transverse transversal transversale aksial aksiyel
        aksialny poprzeczny osiowy axialni assiale assial axiaux axiala transversaal tvar aksiyal аксиально
        аксиальный 横断面 轴 аксиальная акс 横断 横断位 轴位 軸位 水平断
        """,
    ),
    (
        Kind.PLANE,
        "sagittal",
        """
        sag osag sagittal sagital sagi sagitt sagittale sagitaal sagitalny strzalkowy sagitalni szagittalis sagitalna
        сагиттально сагиттальная сагиттальный саг 矢状面 矢状 矢状位 矢状断
        """,
    ),
    (
        Kind.PLANE,
        "coronal",
        """
        cor ocor coronal coro coronale kor koronal koronar koronalny czolowy koronarni koronalis корональная
        корональный фронтальная корональное кор 冠状面 冠状 冠状位 冠状断
        """,
    ),
    (
        Kind.VOLUME,
        "3-D",
        """
        3d vol volume volumetric volumetrico volumique iso isotropic isotrop space cube vista brainview vfl 立体
        """,
    ),
    (
        Kind.COPY,
        "copy",
        """
        recon reformat reformatted mpr dis2d dis3d norm fil filtered resampled resliced mocorr
        """,
    ),
    (
        Kind.RELATION,
        "relation",
        """
        in to reg on onto from vs
        """,
    ),
)
"""Kind, value, words; an earlier row wins over a later one."""

LETTERS = frozenset({"k", "g"})
"""Letters that may stand for an agent where they are words of their own: T1 mit K, T1 après G."""

BY_STEM = "by stem"
"""Value of a neutral word that only its beginning tells: at the beginning of a name it may be a person's as well."""

MAY_DENY = "may deny"
"""Value of an abbreviation that means 'with' in one language and 'without' in another."""

SPELLED_OUT = "spelled out"
"""Value of an examination's name that is more than the sign W/WO: mit und ohne KM."""

INITIALS = frozenset({"gd", "km", "ks", "ce", "kl", "kv"})
"""Short agent words that are initials of persons as well: at the very beginning of a name they explain nothing."""

AGENT_ENDS = ("km", "gd", "gad", "gado", "mdc")
"""How a word ends that an agent may be glued to."""

AGENT_STEMS = (
    *("kontras", "contraste", "contrastant", "kontrastm", "gadolin", "gadobu", "gadote", "gadov", "gadav", "tehoste"),
    *("dotare", "magnevi", "omnisca", "prohanc", "multihanc", "clarisca", "контраст", "гадо", "магневи", "омниска"),
)
"""What inflected words for an agent begin with, where the table has no form of its own: kontraście, kontrastilla."""

DENIED_STEMS = (
    "nativ",
    "natyw",
    "natiiv",
    "unenhanc",
    "nonenhanc",
    "noncontrast",
    "prekontr",
    "prakontr",
    "praekontr",
    "precontr",
    "натив",
    "бесконтр",
    "безконтр",
)
"""What inflected words begin with that say no agent was given."""

TIME_STEMS = (
    *("preoperat", "praoperat", "praeoperat", "postoperat", "posoperat", "intraoperat", "perioperat", "peroperat"),
    *("предоперац", "послеоперац", "przedoperac", "pooperac", "predopera", "poopera"),
)
"""What words for before and after an operation begin with."""

_SPLIT = (
    "t1c",
    "t1ce",
    "t1gd",
    "t1gad",
    "t1gado",
    "t1post",
    "t1km",
    "t1wks",
    "t1wce",
    "t1cw",
    "t1pre",
    "t1native",
    "t1ks",
)
"""Aliases that are cut into a T1 and a word about agent, so that what stands next to that word counts."""

WORDS: dict[str, Meaning] = {
    **{word: (Kind.FILLER, "") for pair in ASIDE_PAIRS for word in pair if word.isalpha() and len(word) > 1},
    **dict.fromkeys((*ASIDE_LAST_WORDS, *FILLERS), (Kind.FILLER, "")),
    **{word: (kind, value) for kind, value, words in reversed(_TABLE) for word in words.split()},
    **{word: (Kind.ASIDE, reason) for word, reason in ASIDE_WORDS.items()},
    **{
        word: (Kind.CONTRAST, str(contrast))
        for word, contrast in ALIASES.items()
        if word.isalnum() and word not in (*_SPLIT, "gado", "mprage")
    },
}
"""Word → what it means."""

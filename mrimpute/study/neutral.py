"""Beginnings of words that tell of what an image is, not of agent: anatomy and diseases of the head, technique.

Tables only, in the languages that the other tables know. Stems stand folded (`text.fold`): lower case, no accents.
"""

_PLACES = """
    schadel schaedel stirnhirn kleinhirn grosshirn zwischenhirn hirnstamm hirnbasis hirnhaut hirnnerv felsenbein
    hypophys epiphys schlafen schlaefen temporal frontal parietal okzipital occipital kalott ventrik hippokamp trigemin
    fazial facialis akustik vestibul labyrinth cochlea sinus aquadukt mittellin balken keilbein siebbein sehnerv
    augenhohl gehorgang kleinhirnbruck brucken
    crane cranien cerveau cerebell cerebr rocher fosse posterieur anterieur tronc selle turcique conduit auditif
    nerf nerfs optique hippocamp encephal mastoid petreu
    crani encefal cervell rocche rocca petros posterior anterior sella turcic ipofis angolo ponto mediano mediana
    condotto uditiv nervi nervo ottic orbit ippocamp linea
    craneo craneal cerebel silla turca turco hipofis fosa oido conducto nervio optic hipocamp angulo penasc tronco lobul
    ouvido conduto optico sela
    hersen schedel hypofys brughoek oogkas achterste slaapkwab voorhoofd middenlijn groeve
    huvud hoved hjern hjarn skalle kranie kranium bakre skallgrop innerora tinning lillehjern lillhjarn bakskalle
    glowa glowy czaszk mozgow mozgu przysadk mozdz oczodol mostowo hipokamp skroniow
    mozek mozku hlava hlavy lebk lebka hypofyz ocnic mozec
    kranial kraniyal hipofiz orbita serebel beyinsap
    головн мозг мозжеч гипофиз череп турецк седл орбит глазниц височн мостомозж слухов хиазм
    skull cranial nerve brainstem midline pituitar petrous hippocamp lobe ventricle clivus foramen meninge cortex
    cortical gyrus gangli thalam pineal callos acoustic auditor meatus fossa internal external base canal retina
    aivolisak kallon aivojen agyalap kopony
"""
"""Parts of the head."""

_DISEASES = """
    angiom cavernom kavernom hemangiom haemangiom mening gliom glioblast metasta lymphom adenom craniophar astrocyt
    oligodend ependym medullobl neurinom schwannom neurom abscess abszess ascess aneurysm aneurism anevrism cyst zyst
    encephalit enzephal atroph atrof demen dementi epilep sklero scleros sclero skleroz stwardn ischam ischem ischaem
    infark infarct hydroceph hydrozeph hidrocef idrocef schlaganf mikroangio microangio vaskul vascul headache migran
    migrain cefal kopfschm tumor tumeur nowotw guz опухол рассеян эпилеп инсульт entzund inflamm lesion lasion
"""
"""What is looked for."""

_TECHNIQUE = """
    obliqu oblicu schrag schraeg parallel sequenz sequence sequenza secuenc sequenc sekvens sekwenc sekvenc
    gewichtet wichtung gewogen ponderat ponderad ponderac potenciad pesat wazon vazen viktad vektet
    isotrop volumetr epaisseur schichtdick spessor espesor espessur achse transvers sagit coronal koronal axial aksial
    aksiyel aksiyal assial horizont poprzecz strzalk czolow
    аксиал сагит корон фронтал взвеш изотроп последоват импульс подавлен тонк срез
    fettsat fettunt fettged graiss grassos grasa gordura
    sedation sedier anasthes anaesthes anesthe anestes narkose research clinical channel kanal coil spule
    acquisit aufnahme beweg moviment mouvem artefa artifac wiederhol repet ripet repid
"""
"""Planes, weightings and circumstances."""

NEUTRAL_STEMS = tuple(" ".join((_PLACES, _DISEASES, _TECHNIQUE)).split())
"""All of them."""
ENDING, LONG_ENDING = 4, 8
"""Letters that may follow a stem, and one of at least `LONG_STEM` letters."""
LONG_STEM = 6

_PARTS = "hirn kopf schadel schaedel felsen stirn hinter mittel innen augen nasen cranio kranio neuro encephalo"
HEAD_PARTS = tuple(_PARTS.split())
"""What compounds for parts of the head begin with."""
_COMPOUNDS = """
    hirn basis bein stamm haut lappen grube hohle winkel nerv nerven kammer rinde druse region ohr ohren tumor tumoren
    metastase metastasen schmerz schmerzen gefasse chirurgie logie radiologie
"""
COMPOUND_ENDS = frozenset(_COMPOUNDS.split())
"""What they end with."""

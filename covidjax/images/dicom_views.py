"""Whether a DICOM header names another view than a frontal one, in the languages of Europe."""

import re
import unicodedata
from typing import Any

# Words of views, as codes (PS3.3, C.8.11.5) and as people write them into descriptions: folded to
# capitals without accents, matched as wholes; a word that ends in * begins so.
LATERAL_VIEWS = (
    *("LL", "RL", "LAT", "LLAT", "RLAT", "LATERAL"),
    *("SEITL", "SEITLICH*", "SEITAUFNAHME*", "SEITENAUFNAHME*", "SEITENANSICHT", "SEITBILD"),
    *("LATERALAUFNAHME*", "LATERALE", "LATERALES", "LATERALIS", "LATERALI", "LATERALA"),
    *("LATERALNA", "LATERALNE", "LATERALNI", "LATERALNY", "LATERALNO", "LATERALT", "LATERALBILD"),
    *("LATERAAL", "LATERALE", "DWARS", "ZIJDELINGS*", "ZIJAANZICHT"),
    *("LATEROLATERAL*", "PROFIL", "PROFILO", "PROFILAUFNAHME", "PERFIL", "PROFILNA"),
    *("PROFILNI", "PROFILOVA", "BOCZN*", "BOCN*", "BOCHN*", "STRANSK*"),
    *("OLDALIRANYU*", "OLDALFELVETEL*", "OLDALSO", "SIVUKUVA*", "SIVUSUUNTA*", "SIVULTA"),
    *("SIDOBILD*", "SIDOPROJEKTION", "SIDEBILLEDE*", "SIDEOPTAK", "SIDEBILDE", "SIDELEIE"),
    *("KULG*", "SANSKATS", "SONIN*", "HLIDARMYND", "LATERALO", "ALBOKO*"),
    *("ΠΛΑΓΙΑ", "ΠΛΑΓΙΑΣ", "БОКОВ*", "БОК", "БІЧН*", "ПРОФИЛ*", "ПРОФІЛ*", "БОЧН*", "СТРАНИЧН*"),
    *("ЛАТЕРАЛЬН*", "ЛАТЕРАЛН*"),
)
OBLIQUE_VIEWS = (
    *("RLO", "LLO", "RAO", "LAO", "RPO", "LPO", "OBLIQUE", "OBLIQUA", "OBLICUA", "OBLIKVI"),
    *("OBLICUO", "OBLIQUO", "OBLIQ", "SCHRAG*", "SKOSN*", "SIKM*", "КОСАЯ", "КОСОЙ"),
)
# A decubitus image is frontal though the patient lies on a side ("left lateral decubitus").
FRONTAL_VIEWS = (
    *("PA", "AP", "DV", "VD", "SUPINE", "PORTABLE"),
    *("FRONTAL", "FRONTALE", "FRONTALIS", "FACE", "FRENTE", "FRONTE"),
    *("LLD", "RLD", "DECUB", "DECUBITUS", "DECUBITO", "SEITENLAGE", "LIGGANDE"),
    *("POSTEROANTERIOR*", "ANTEROPOSTERIOR*", "DORSOVENTRAL*", "VENTRODORSAL*", "SAGITTAL"),
    *("ПРЯМАЯ", "ПРЯМОЙ", "ПЕРЕДНЯЯ", "ΟΠΙΣΘΟΠΡΟΣΘΙΑ"),
)
DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")
# "p.a.", "a. p." and "latero-laterale" are one word each.
_JOINED = (
    (re.compile(r"\b([PA])\.?\s?([AP])\.(?=\W|$)"), r"\1\2 "),
    (re.compile(r"\b(LATERO|POSTERO|ANTERO|DORSO|VENTRO)[\s/-]+(?=[A-Z])"), r"\1"),
)


def other_view(dataset: Any) -> str:
    """ "a lateral view (ViewPosition LL)", or "" where the header names none but frontal ones.

    What names a view decides, the most exact element first: the code of the position, the coded
    view, the direction of the rows, a description. Their texts are free, so words are looked for.
    """
    sequence = dataset.get("ViewCodeSequence") or [{}]
    named = {
        "ViewPosition": dataset.get("ViewPosition"),
        "ViewCodeSequence": sequence[0].get("CodeMeaning"),
    }
    # Front to back only where the beam went from side to side.
    rows = directions(dataset)[0]
    named["PatientOrientation"] = "LATERAL" if rows[:1] in ("A", "P") else None
    named |= {name: dataset.get(name) for name in DESCRIPTIONS}
    for element, value in named.items():
        words = _words(value)
        if _any(words, FRONTAL_VIEWS):
            return ""
        for kind, known in (("a lateral", LATERAL_VIEWS), ("an oblique", OBLIQUE_VIEWS)):
            if _any(words, known):
                shown = rows if element == "PatientOrientation" else " ".join(str(value).split())
                return f"{kind} view ({element} {shown[:40]})"
    return ""


def directions(dataset: Any) -> tuple[str, str]:
    """Where rows and columns of the image run to, as L and F for a usual one; "" for not known.

    PatientOrientation has two values (PS3.3, C.7.6.1.1.1). One alone, such as PA, is a view that
    was put in the wrong place; so is a direction of opposite ends.
    """
    value = dataset.get("PatientOrientation")
    if value is None or isinstance(value, str | bytes) or len(value) != 2:
        return "", ""
    rows, columns = ("".join(re.findall("[LRAPHF]", str(end).upper())) for end in value)
    opposite = any({*ends} <= {*end} for ends in ("LR", "AP", "HF") for end in (rows, columns))
    return ("", "") if opposite else (rows, columns)


def _words(value: Any) -> set[str]:
    """The words of a text, in capitals and without accents."""
    spread = unicodedata.normalize("NFKD", str(value or "").upper())
    text = "".join(char for char in spread if not unicodedata.combining(char))
    text = text.replace("Ł", "L").replace("Ø", "O").replace("Ð", "D").replace("I\u0307", "I")
    for pattern, whole in _JOINED:
        text = pattern.sub(whole, text)
    return set(re.findall(r"[^\W\d_]+", text))


def _any(words: set[str], known: tuple[str, ...]) -> bool:
    starts = tuple(word[:-1] for word in known if word.endswith("*"))
    return bool(words & set(known)) or any(word.startswith(starts) for word in words)

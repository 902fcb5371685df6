"""Which images belong to one patient or one examination, as far as their names tell."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources

# person12_bacteria_34.jpeg: a child by number and cause. Numbers are used again under the other
# cause; whether that is the same child cannot be known.
_PERSON = re.compile(r"person(\d+)_(bacteria|virus)_\d+")
# IM-0439-0001-0002.jpeg, NORMAL2-IM-0439-0001.jpeg: an examination by prefix and number.
_NORMAL = re.compile(r"((?:NORMAL2-)?IM-\d+)-\d+")
# phantom-patient012-3.png: a synthetic adult.
_PHANTOM = re.compile(r"(phantom-patient\d+)-\d+")


@cache
def adults() -> Mapping[str, Mapping[str, str]]:
    """Facts on the 70 adults' images by file name: `patient`, `age` (years), `sex`, `view`.

    Empty where the publication does not say. From the metadata of the COVID-19 Image Data
    Collection (Cohen et al. 2020), https://github.com/ieee8023/covid-chestxray-dataset.
    """
    text = resources.files("tfds_coronahack").joinpath("adults.csv").read_text("utf-8")
    return {row.pop("image"): row for row in csv.DictReader(text.splitlines())}


def base_name(image: str) -> str:
    """An image's name without its source: of several archives it is SOURCE/NAME."""
    return image.rpartition("/")[2]


def group_of(image: str) -> str:
    """The group of an image by its name: a child and cause, an examination, or an adult.

    `person12_virus`, `NORMAL2-IM-0439`, `cohen-46`; a name of no known form is its own group.
    """
    if image in adults():
        return adults()[image]["patient"]
    if match := _PERSON.match(image):
        return f"person{match[1]}_{match[2]}"
    if match := _NORMAL.match(image) or _PHANTOM.match(image):
        return match[1]
    return image


def merge_groups(groups: Mapping[str, str], same: Iterable[Sequence[str]]) -> dict[str, str]:
    """Joins the groups of images that are the same picture.

    `groups` maps image to group; each sequence in `same` holds images of one picture. A joined
    group bears the name that sorts first of those it was made of.
    """
    parent = {group: group for group in groups.values()}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for images in same:
        roots = sorted({root(groups[image]) for image in images})
        for other in roots[1:]:
            parent[other] = roots[0]
    return {image: root(group) for image, group in groups.items()}


def person_number_facts(splits: Mapping[str, str]) -> dict[str, int]:
    """What grouping children's pneumonia images by number alone would change.

    `splits` maps image to TRAIN or TEST. Counts groups by (number, cause), groups by number alone,
    the numbers that occur under both causes, those that occur in both splits, and the images of
    the latter.
    """
    causes: dict[str, set[str]] = defaultdict(set)
    found: dict[str, list[str]] = defaultdict(list)
    for image, split in splits.items():
        source, _, name = image.rpartition("/")
        if match := _PERSON.match(name):
            number = f"{source}/{match[1]}"  # sources number their children each from 1
            causes[number].add(match[2])
            found[number].append(split)
    crossing = [s for s in found.values() if len(set(s)) > 1]
    return {
        "groups_by_number_and_cause": sum(map(len, causes.values())),
        "groups_by_number_alone": len(causes),
        "numbers_under_both_causes": sum(len(c) > 1 for c in causes.values()),
        "numbers_in_both_splits": len(crossing),
        "images_of_numbers_in_both_splits": sum(map(len, crossing)),
    }

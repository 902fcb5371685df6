"""Who lies on the phantom's table, and how: random numbers that know nothing of the diagnosis."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Anatomy:
    """What stays the same in all radiographs of one patient. Lengths in body coordinates."""

    seed: int  # of the details: jitter of the outlines, branching of the vessels
    age: float  # 0 infant to 1 adult: height of the thorax, slope of the ribs, size of the heart
    width: float  # of the rib cage, 1 is the average
    depth: float  # attenuation of the trunk where it is thickest
    wall: float  # soft tissue outside the ribs
    heart: float  # radius
    heart_tilt: float  # degrees
    mediastinum: float  # half width
    thymus: float  # 0 none; widens the upper mediastinum
    bone: float  # mineral density, 1 is the average
    vessels: float  # prominence of the vessels, 1 is the average
    scoliosis: float  # sideways bend of the spine
    stomach: float  # size of the gas bubble under the left dome, 0 none


@dataclass(frozen=True)
class Posture:
    """What differs between two radiographs of one patient."""

    inspiration: float  # 1 is the average, less is a shallower breath
    yaw: float  # turn about the long axis, radians
    arms: float  # 0 raised to 1 hanging
    chin: float  # how far the jaw reaches into the radiograph, 0 not at all
    clavicles: float  # height of the outer ends
    leads: int  # seed of monitoring leads, 0 for none


def draw_patient(rng: np.random.Generator) -> Anatomy:
    """A random patient; takes nothing but random numbers, so it cannot depend on the diagnosis."""
    age = float(rng.beta(0.9, 1.1))
    return Anatomy(
        seed=int(rng.integers(2**31)),
        age=age,
        width=float(rng.normal(1.03 - 0.05 * age, 0.06)),
        depth=float(rng.uniform(2.1, 2.7) + 0.7 * age),
        wall=float(rng.uniform(0.05, 0.13) + rng.exponential(0.03)),
        heart=float(rng.normal(0.36 - 0.03 * age, 0.03)),
        heart_tilt=float(rng.normal(38, 9)),
        mediastinum=float(rng.normal(0.135, 0.017)),
        thymus=float(max(0.0, rng.normal(0.09, 0.08) - 0.18 * age)),
        bone=float(rng.uniform(0.75, 1.3)),
        vessels=float(rng.lognormal(0, 0.3)),
        scoliosis=float(rng.normal(0, 0.03)),
        stomach=float(rng.uniform(0, 0.2)) if rng.random() < 0.6 else 0.0,
    )


def draw_posture(rng: np.random.Generator) -> Posture:
    """A random posture for one radiograph."""
    return Posture(
        inspiration=float(np.clip(rng.normal(1, 0.1), 0.75, 1.2)),
        yaw=float(rng.normal(0, 0.09)),
        arms=float(rng.random()),
        chin=float(max(0.0, rng.normal(-0.05, 0.14))),
        clavicles=float(rng.normal(0, 0.06)),
        leads=int(rng.integers(1, 2**31)) if rng.random() < 0.2 else 0,
    )


# --- organs -------------------------------------------------------------------------------------

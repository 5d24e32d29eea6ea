"""The brands of the shop: invented names with a price tier, the departments they sell in, and a nickname."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BRANDS", "BrandWord"]


@dataclass(frozen=True, kw_only=True)
class BrandWord:
    """A brand. `tier` is 0 (budget), 1 (middle) or 2 (premium); customers may use the `nickname`."""

    name: str
    tier: int
    departments: tuple[int, ...]
    nickname: str = ""


# name tier departments nickname ("-": none)
_TABLE = """
Brandt 1 0,6 brando
Solvang 2 0,1 solva
Havenly 1 0 -
Nordholm 1 0,1 nordi
Plainwood 0 0,6 -
Casaro 0 0,1 -
Maison-Lind 2 0,1 malin
Oakhurst 1 0 -
Kupfer 2 1 kupfi
Cucina-Bella 1 1 -
Tavola 0 1 tavo
Steelmann 1 1,6 -
Dampfwerk 2 1 -
Everpan 0 1 -
Larssen 1 2,3 larsi
Monteverdi 2 2,3 monte
Threadly 0 2 -
Kestrel 1 2,4 -
Fjordline 2 2,4 fjordi
Wearwell 0 2,3 -
Ottavia 2 2,3 otti
Bluefield 1 2 -
Striden 1 3,4 stridi
Pace-One 0 3,4 -
Cordova 2 3 -
Bramante 1 3 brami
Wayfar 1 3,4 -
Tascher 0 3 -
Alpenrand 2 4 alpi
Summitry 1 4 -
Gritfit 0 4 -
Velora 1 4,7 velo
Aquis 1 4 -
Trailhead 0 4 -
Sonare 2 5 sonni
Volta 1 5 -
Nimbus-Tech 0 5 nimbi
Pixelar 1 5 -
Kyocha 2 5 -
Elektra 0 5,1 -
Auris 1 5 -
Gruenhof 1 6 gruni
Terranova 2 6,0 -
Werkmeister 2 6 werki
Bolzen 0 6 -
Gardenia 0 6 -
Hortus 1 6 -
Little-Fox 1 7 foxi
Pawlo 1 7 pawi
Kinderwald 2 7 -
Playmoor 0 7 -
Bello-Mia 0 7 -
Hopsala 1 7 -
"""


def _parse() -> tuple[BrandWord, ...]:
    brands = []
    for line in _TABLE.strip().splitlines():
        name, tier, departments, nickname = line.split()
        brands.append(
            BrandWord(
                name=name.replace("-", " "),
                tier=int(tier),
                departments=tuple(int(code) for code in departments.split(",")),
                nickname="" if nickname == "-" else nickname,
            )
        )
    return tuple(brands)


BRANDS = _parse()

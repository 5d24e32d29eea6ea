"""Vague intents: what shoppers type when they have a purpose but no product in mind."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["INTENTS", "IntentWord"]


@dataclass(frozen=True, kw_only=True)
class IntentWord:
    """A purpose (`tag` of product types) and the ways to say it."""

    tag: str
    phrases: tuple[str, ...]


_TABLE = """
runner | gift for a runner; marathon training; things for joggers
cosy | cosy living room; warm evening at home; hygge ideas
reader | reading corner; present for a book lover
hosting | dinner party at home; feast for many guests
sleep | better sleep; restful nights
cook | gift for a hobby chef; love to cook
coffee | coffee lover present; morning caffeine ritual
flat | moving into first apartment; furnishing a new flat
winter | keep warm in winter; cold weather essentials
summer | summer outfit; hot days
work | smart office look; something for business meetings
hike | hiking trip in the mountains; weekend on the trail
camp | camping holiday; night in the wilderness
travel | going on a long journey; flight essentials
student | back to school; starting university
party | evening out; birthday party
beach | day at the seaside; beach vacation
spa | wellness weekend; spa day at home
yoga | yoga beginner; meditation at home
fit | get in shape; home workout
bike | cycling to work; gift for a cyclist
gadget | tech gifts for dad; latest gadgets
desk | home office setup; tidy desk
gamer | gaming corner; esports equipment
music | music lover gift; sound for the party
photo | photography hobby; travel pictures
garden | gardening gift; green thumb
terrace | balcony makeover; summer terrace
handy | diy enthusiast; repair things at home
toddler | present for a three year old; toddler birthday
baby | baby shower gift; expecting a newborn
play | rainy day with kids; family game evening
dog | new puppy; everything for the dog
cat | kitten starter kit; spoil my cat
healthy | healthy lifestyle; new year resolution
"""

INTENTS = tuple(
    IntentWord(tag=tag.strip(), phrases=tuple(phrase.strip() for phrase in phrases.split(";")))
    for tag, phrases in (line.split("|") for line in _TABLE.strip().splitlines())
)

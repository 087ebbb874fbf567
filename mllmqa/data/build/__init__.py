"""Recipes run: from sources (photos, clips, rated media) to samples, media files and exports.

A recipe is one file of ``data_builders/``: a function from an :class:`Item` to samples. Everything that an item
makes is a function of the seed, the recipe and the item's number, so that any number of processes, a kill and a
restart give the same files.
"""

from __future__ import annotations

from mllmqa.data.build import draw
from mllmqa.data.build.item import Item
from mllmqa.data.build.opinions import Rated, quality_level
from mllmqa.data.build.pictures import Picture, Video
from mllmqa.data.build.recipe import Recipe, load_recipe, recipes
from mllmqa.data.build.run import Built, Order, build
from mllmqa.data.build.sources import Source, Sources, open_sources

__all__ = [
    "Built",
    "Item",
    "Order",
    "Picture",
    "Rated",
    "Recipe",
    "Source",
    "Sources",
    "Video",
    "build",
    "draw",
    "load_recipe",
    "open_sources",
    "quality_level",
    "recipes",
]

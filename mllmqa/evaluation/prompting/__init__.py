"""The prompt benchmark: how well a model judges pictures when it is asked in nine ways, and in some more.

Facts and protocol: Wu et al., ECCV 2024 (arXiv 2403.10854); 2AFC (arXiv 2402.01162); Compare2Score (NeurIPS 2024).

====================  ==================================================================================
``items``             rated pictures and the exemplars that are held out
``trials``            one question as data, and its prompt (``prompts/nine/``)
``designs``           balanced pairs and groups
``answers``           words as numbers, or as a failure of a stated kind
``strategies``        plan, read, score of each mode; in-context and chain-of-thought as decorators
``anchoring``         comparison with anchors as a mode
``preference``        exact MAP scores of comparisons, with an order effect
``wu2024``            the published samplers and reader; ``published_modes``, ``published_figures``
``bench``             a whole plan, and the hash of all that decides its answers
``estimate``          what it will ask, cost and take
``asking``            one request to a model
``log``, ``runner``   the append-only log; asking in parallel within a budget
``habits``            places, swaps, cycles, round numbers, failures
``measure``           all figures of a log; modes against each other
``report``            JSON, Markdown, CSV
``select``            difficult pictures: where models and opinions disagree
====================  ==================================================================================
"""

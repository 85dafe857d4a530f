"""Whitened bases or an estimator in, p-values out; knows no CCA class.

What may be rearranged, and how: ``schemes``, ``plan``, ``nuisance``, ``prewhiten``; ``bases`` puts them together with
an estimator, ``checks`` says where they fail.

The in-sample test: ``permutation`` over ``products`` of rearranged bases and their ``stepdown`` statistics.

The held-out test: ``held_out`` over ``folds``, with components brought together by ``matching``; its null refits by
algebra (``held_out_null``, ``whitened_folds``, ``run_products``).

Loadings: ``loadings``, ``loading_null``; ``bootstrap`` over samples drawn by ``resampling``.

Across subjects: ``group_maps``, ``subjects``, ``left_out_subject``. Before a study: ``power`` of a simulated ``study``.

For all of them: ``parallel`` runs permutations, ``result`` makes p-values of counts.
"""

"""Find the release of JAX that broke a test, by binary search between a good release and a bad one.

    python -m harness bisect tests/test_x.py::test_y --good 0.6.2 --bad 0.8.3

All final releases on the package index between the two are candidates, not only the rows of the matrix. If GOOD is the
newer one, the search finds the first release that is good again.

Exit status: 0 found; 1 only a range is found, because some releases can't be tried; 2 wrong usage; 3 it could not be
set up; 130 interrupted. The results of all tries are kept, and the next run uses them.
"""

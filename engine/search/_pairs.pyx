# cython: boundscheck=False, wraparound=False, cdivision=True
"""Squared distances of listed pairs, in float64: gathering the rows first, as numpy must, costs several times as much."""

import numpy as np


def squared_distances(const float[:, ::1] a, const float[:, ::1] b, const long long[::1] i, const long long[::1] j):
    """Sum over d of (a[i[n], d] - b[j[n], d])^2 for every n, added up in one fixed order.

    a float32 [N, D], b float32 [M, D], i and j int64 [P] -> float64 [P].
    Raises: ValueError when lengths, dimensions or indices do not fit.
    """
    cdef Py_ssize_t pairs = i.shape[0], depth = a.shape[1], n, d, whole = depth - depth % 4
    cdef const float* x
    cdef const float* y
    cdef double s0, s1, s2, s3, t
    if j.shape[0] != pairs or b.shape[1] != depth:
        raise ValueError("i and j must have one length, a and b one number of columns")
    if pairs and (np.min(i) < 0 or np.max(i) >= a.shape[0] or np.min(j) < 0 or np.max(j) >= b.shape[0]):
        raise ValueError("an index lies outside its array")
    result = np.empty(pairs, np.float64)
    if pairs == 0 or depth == 0:
        result[:] = 0.0
        return result
    cdef double[::1] out = result
    with nogil:
        for n in range(pairs):
            x = &a[i[n], 0]
            y = &b[j[n], 0]
            s0 = s1 = s2 = s3 = 0.0
            for d in range(0, whole, 4):
                t = <double>x[d] - y[d]
                s0 += t * t
                t = <double>x[d + 1] - y[d + 1]
                s1 += t * t
                t = <double>x[d + 2] - y[d + 2]
                s2 += t * t
                t = <double>x[d + 3] - y[d + 3]
                s3 += t * t
            for d in range(whole, depth):
                t = <double>x[d] - y[d]
                s0 += t * t
            out[n] = (s0 + s1) + (s2 + s3)
    return result

// What GCC and clang spell differently.
#pragma once

#define COPYTRACE_PRAGMA(text) _Pragma(#text)

// Before a loop of `count` turns that must not stay a loop.
#if defined(__clang__)
#define COPYTRACE_UNROLL(count) COPYTRACE_PRAGMA(clang loop unroll(full))
#else
#define COPYTRACE_UNROLL(count) COPYTRACE_PRAGMA(GCC unroll count)
#endif

// Around a function, and at the beginning of its body, whose products and sums must not be fused.
#if defined(__clang__)
#define COPYTRACE_UNFUSED
#define COPYTRACE_UNFUSED_BODY COPYTRACE_PRAGMA(clang fp contract(off))
#else
#define COPYTRACE_UNFUSED __attribute__((optimize("fp-contract=off")))
#define COPYTRACE_UNFUSED_BODY
#endif

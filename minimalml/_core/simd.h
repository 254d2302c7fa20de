/* One binary for several processors: MULTIVERSION compiles a function for each
   instruction set and picks at load time. Only gcc on x86_64 glibc can do it.
   OpenMP bodies are outlined and would not be cloned: keep prange outside. */
#ifndef MINIMALML_SIMD_H
#define MINIMALML_SIMD_H

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && \
    defined(__linux__) && defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define MULTIVERSION \
    __attribute__((target_clones("default", "arch=haswell", "arch=skylake-avx512")))
#else
#define MULTIVERSION
#endif

#endif

/* One binary for several processors: MULTIVERSION compiles a function for each
   instruction set and picks at load time. Only gcc 12 on x86_64 glibc can do it:
   by level, since "arch=haswell" is a name that no AMD processor answers to. */
#ifndef MINIMALML_SIMD_H
#define MINIMALML_SIMD_H

#if defined(__GNUC__) && __GNUC__ >= 12 && !defined(__clang__) && defined(__x86_64__) && \
    defined(__linux__) && defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define MULTIVERSION \
    __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define MULTIVERSION
#endif

#endif

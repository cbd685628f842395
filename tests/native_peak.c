/* native_peak SECONDS SMALL LARGE THREADS: what this machine's cores can do, without OpenCL, by kernels written by hand for AVX-512, AVX2 with FMA, or NEON, whichever the processor has. Measures float32 multiply-adds, and
 * copy and read bandwidth for working sets of SMALL and LARGE bytes (a copy's working set is source and destination),
 * all in turn for SECONDS, and prints the best of each, one a line:
 *
 *     fma 2.3e+11                   operations per second, two for a multiply-add
 *     copy small 2.0e+11            bytes per second, read and written
 *     read small, copy large, read large
 *
 * Stores are ordinary ones, as in the kernels that it is compared with: non-temporal stores spare a copy the reading
 * of what it overwrites, but no kernel of a network could use them, since the next kernel reads what they wrote.
 * Status 77: no kernels for this processor. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SKIPPED = 77,
    STEPS = 96,        /* multiply-adds of each in a round */
    BLOCK = 512,       /* bytes: copy and read take a multiple of it */
    PIECE = 256 << 10, /* bytes of a large working set that a thread takes at a time */
};

/* What a set of kernels offers. */
typedef struct kernels {
    const char *name;
    int floats, chains; /* in a vector; accumulators */
    float (*fma)(long rounds, float m, float b);
    void (*copy)(char *to, const char *from, size_t bytes);
    uint32_t (*read)(const char *from, size_t bytes);
} kernels;

/* Templates, which clang-format takes for expressions. */
/* clang-format off */
/* NOLINTBEGIN(bugprone-macro-parentheses): types, attributes and names of functions */

/* As many accumulators as hide the latency and fit the registers: 16 of them, 32 in AVX-512 and NEON. */
#define CHAINS_12(X, f)                                                                            \
    X(0, f) X(1, f) X(2, f) X(3, f) X(4, f) X(5, f) X(6, f) X(7, f) X(8, f) X(9, f) X(10, f) X(11, f)
#define CHAINS_16(X, f) CHAINS_12(X, f) X(12, f) X(13, f) X(14, f) X(15, f)
#define DECLARE(i, set) vec a##i = set(i);
#define STEP(i, fma) a##i = fma(a##i, vm, vb);
#define ADD_LANE(i, unused) memcpy(&lane, &a##i, sizeof lane); sum += lane;

/* The three kernels for a set of intrinsics: a template. The barrier keeps the compiler from making a call of memcpy
 * out of the copy, and from leaving out a pass. */
#define KERNELS(suffix, target, chains, vf, set, fma, vi, load, store, add, zero)                  \
    target static float fma_##suffix(long rounds, float m, float b)                                \
    {                                                                                              \
        typedef vf vec;                                                                            \
        const vec vm = set(m), vb = set(b);                                                        \
        float sum = 0, lane;                                                                       \
        chains(DECLARE, set)                                                                       \
        for (long r = 0; r < rounds * (STEPS / 4); r++) {                                          \
            chains(STEP, fma)                                                                      \
            chains(STEP, fma)                                                                      \
            chains(STEP, fma)                                                                      \
            chains(STEP, fma)                                                                      \
        }                                                                                          \
        chains(ADD_LANE, 0)                                                                        \
        return sum;                                                                                \
    }                                                                                              \
    target static void copy_##suffix(char *to, const char *from, size_t bytes)                     \
    {                                                                                              \
        enum { W = sizeof(vi) };                                                                   \
        for (size_t i = 0; i < bytes; i += 8 * W) {                                                \
            const vi t0 = load(from + i), t1 = load(from + i + W);                                 \
            const vi t2 = load(from + i + 2 * W), t3 = load(from + i + 3 * W);                     \
            const vi t4 = load(from + i + 4 * W), t5 = load(from + i + 5 * W);                     \
            const vi t6 = load(from + i + 6 * W), t7 = load(from + i + 7 * W);                     \
            store(to + i, t0), store(to + i + W, t1);                                              \
            store(to + i + 2 * W, t2), store(to + i + 3 * W, t3);                                  \
            store(to + i + 4 * W, t4), store(to + i + 5 * W, t5);                                  \
            store(to + i + 6 * W, t6), store(to + i + 7 * W, t7);                                  \
            __asm__ volatile("" ::: "memory");                                                     \
        }                                                                                          \
    }                                                                                              \
    target static uint32_t read_##suffix(const char *from, size_t bytes)                           \
    {                                                                                              \
        enum { W = sizeof(vi) };                                                                   \
        vi s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero, s6 = zero, s7 = zero; \
        for (size_t i = 0; i < bytes; i += 8 * W) {                                                \
            s0 = add(s0, load(from + i)), s1 = add(s1, load(from + i + W));                        \
            s2 = add(s2, load(from + i + 2 * W)), s3 = add(s3, load(from + i + 3 * W));            \
            s4 = add(s4, load(from + i + 4 * W)), s5 = add(s5, load(from + i + 5 * W));            \
            s6 = add(s6, load(from + i + 6 * W)), s7 = add(s7, load(from + i + 7 * W));            \
            __asm__ volatile("" ::: "memory");                                                     \
        }                                                                                          \
        s0 = add(add(add(s0, s1), add(s2, s3)), add(add(s4, s5), add(s6, s7)));                    \
        uint32_t word[W / 4], sum = 0;                                                             \
        memcpy(word, &s0, sizeof word);                                                            \
        for (size_t i = 0; i < W / 4; i++)                                                         \
            sum += word[i];                                                                        \
        return sum;                                                                                \
    }

/* NOLINTEND(bugprone-macro-parentheses) */
/* clang-format on */

#if defined(__x86_64__)
#include <immintrin.h>
#define AVX512 __attribute__((target("avx512f")))
#define AVX2   __attribute__((target("avx2,fma")))
AVX512 static inline __m512i load_512(const char *p)
{
    return _mm512_load_si512(p);
}
AVX512 static inline void store_512(char *p, __m512i v)
{
    _mm512_store_si512(p, v);
}
AVX2 static inline __m256i load_256(const char *p)
{
    return _mm256_load_si256((const __m256i *)(const void *)p);
}
AVX2 static inline void store_256(char *p, __m256i v)
{
    _mm256_store_si256((__m256i *)(void *)p, v);
}
KERNELS(avx512, AVX512, CHAINS_16, __m512, _mm512_set1_ps, _mm512_fmadd_ps, __m512i, load_512,
        store_512, _mm512_add_epi32, _mm512_setzero_si512())
KERNELS(avx2, AVX2, CHAINS_12, __m256, _mm256_set1_ps, _mm256_fmadd_ps, __m256i, load_256,
        store_256, _mm256_add_epi32, _mm256_setzero_si256())

static const kernels *choose(void)
{
    static const kernels avx512 = {"AVX-512", 16, 16, fma_avx512, copy_avx512, read_avx512};
    static const kernels avx2 = {"AVX2", 8, 12, fma_avx2, copy_avx2, read_avx2};
    if (__builtin_cpu_supports("avx512f"))
        return &avx512;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &avx2 : NULL;
}
#elif defined(__aarch64__)
#include <arm_neon.h>
static inline float32x4_t fma_128(float32x4_t a, float32x4_t m, float32x4_t b)
{
    return vfmaq_f32(b, a, m);
}
static inline uint32x4_t load_128(const char *p)
{
    return vld1q_u32((const uint32_t *)(const void *)p);
}
static inline void store_128(char *p, uint32x4_t v)
{
    vst1q_u32((uint32_t *)(void *)p, v);
}
KERNELS(neon, , CHAINS_16, float32x4_t, vdupq_n_f32, fma_128, uint32x4_t, load_128, store_128,
        vaddq_u32, vdupq_n_u32(0))

static const kernels *choose(void)
{
    static const kernels neon = {"NEON", 4, 16, fma_neon, copy_neon, read_neon};
    return &neon;
}
#else
static const kernels *choose(void)
{
    return NULL;
}
#endif

typedef enum job { FMA, COPY_SMALL, READ_SMALL, COPY_LARGE, READ_LARGE, JOBS } job;

/* What all threads share. In small working sets each thread has a part of its own, which stays in its core's cache; of
 * large ones threads take piece after piece, so that one that is held up does not hold up the rest. */
typedef struct team {
    const kernels *k;
    int threads;
    size_t small, large; /* bytes: of a thread's part, and of all */
    char *x, *y;         /* large bytes, and half as many */
    pthread_barrier_t barrier;
    atomic_size_t next; /* byte of a large working set that nobody has taken */
    job job;            /* JOBS: end */
    long n;             /* rounds or passes */
} team;

typedef struct member {
    team *team;
    int index;
    double began, ended;
    uint32_t sum; /* of all that was computed, so that it must be */
} member;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void work_small(member *m, const team *t)
{
    const char *x = t->x + (size_t)m->index * t->small;
    char *y = t->y + (size_t)m->index * (t->small / 2);
    for (long i = 0; i < t->n; i++)
        if (t->job == COPY_SMALL)
            t->k->copy(y, x, t->small / 2);
        else
            m->sum += t->k->read(x, t->small);
}

static void work_large(member *m, team *t)
{
    const size_t bytes = t->job == COPY_LARGE ? t->large / 2 : t->large, all = bytes * (size_t)t->n;
    for (size_t i; (i = atomic_fetch_add(&t->next, PIECE)) < all;)
        if (t->job == COPY_LARGE)
            t->k->copy(t->y + i % bytes, t->x + i % bytes, PIECE);
        else
            m->sum += t->k->read(t->x + i % bytes, PIECE);
}

static void work(member *m)
{
    team *t = m->team;
    pthread_barrier_wait(&t->barrier);
    m->began = now();
    if (t->job == FMA)
        m->sum += (uint32_t)t->k->fma(t->n, 1, 1);
    else if (t->job == COPY_SMALL || t->job == READ_SMALL)
        work_small(m, t);
    else
        work_large(m, t);
    m->ended = now();
    pthread_barrier_wait(&t->barrier);
}

static void *thread_main(void *arg)
{
    member *m = arg;
    const team *t = m->team;
    const size_t page = 4096, stride = page * (size_t)t->threads;
    for (size_t i = page * (size_t)m->index; i < t->large;
         i += stride) { /* spread over the memory of all sockets */
        memset(t->x + i, m->index + 1, page);
        if (i < t->large / 2)
            memset(t->y + i, 0, page);
    }
    while (m->index > 0) {
        pthread_barrier_wait(&m->team->barrier); /* job and n are set */
        if (t->job == JOBS)
            break;
        work(m);
    }
    return NULL;
}

/* Seconds that all threads together take for n rounds or passes. */
static double run(team *t, member *members, job j, long n)
{
    double began = INFINITY, ended = 0;
    t->job = j;
    t->n = n;
    atomic_store(&t->next, 0);
    pthread_barrier_wait(&t->barrier);
    work(&members[0]);
    for (int i = 0; i < t->threads; i++) {
        began = fmin(began, members[i].began);
        ended = fmax(ended, members[i].ended);
    }
    return ended - began;
}

static void measure(team *t, member *members, double seconds, double best[JOBS])
{
    const double sample = 4e-3, began = now();
    long n[JOBS];
    for (int j = 0; j < JOBS; j++) {
        best[j] = INFINITY;
        n[j] = 1;
        double s;
        run(t, members, (job)j, 1); /* touches what it uses */
        for (int i = 0; i < 8 && (s = run(t, members, (job)j, n[j])) < sample / 2; i++)
            n[j] = (long)ceil((double)n[j] * fmin(64, sample / s));
    }
    int round = 0;
    do
        for (int j = 0; j < JOBS; j++) { /* short samples fit the slices of a busy machine's time */
            const long part = n[j] >> round % 3 ? n[j] >> round % 3 : 1;
            best[j] = fmin(best[j], run(t, members, (job)j, part) / (double)part);
        }
    while (round++, now() - began < seconds);
}

static int start(team *t, member *members, pthread_t *ids)
{
    void *x = NULL, *y = NULL;
    if (pthread_barrier_init(&t->barrier, NULL, (unsigned)t->threads) ||
        posix_memalign(&x, 4096, t->large) || posix_memalign(&y, 4096, t->large / 2))
        return 1;
    t->x = x;
    t->y = y;
    for (int i = 0; i < t->threads; i++)
        members[i] = (member){.team = t, .index = i};
    for (int i = 1; i < t->threads; i++)
        if (pthread_create(&ids[i], NULL, thread_main, &members[i]))
            return 1;
    thread_main(&members[0]);
    return 0;
}

static void print_results(const team *t, const double best[JOBS])
{
    static const char *const names[] = {"fma", "copy small", "read small", "copy large",
                                        "read large"};
    const double flops = 2.0 * t->k->chains * STEPS * t->k->floats * t->threads;
    const double small = (double)t->small * t->threads, large = (double)t->large;
    for (int j = 0; j < JOBS; j++)
        printf("%s %.6g\n", names[j],
               (j == FMA                             ? flops
                : j == COPY_SMALL || j == READ_SMALL ? small
                                                     : large) /
                   best[j]);
}

int main(int argc, char **argv)
{
    enum { MAX_THREADS = 1024 };
    static member members[MAX_THREADS];
    static pthread_t ids[MAX_THREADS];
    double best[JOBS];
    team t = {.k = choose()};
    if (argc != 5) {
        fprintf(stderr, "usage: native_peak SECONDS SMALL LARGE THREADS\n");
        return 2;
    }
    if (!t.k) {
        fprintf(stderr, "native_peak: no kernels for this processor\n");
        return SKIPPED;
    }
    t.threads = (int)fmax(1, fmin(MAX_THREADS, strtod(argv[4], NULL)));
    t.small = (size_t)strtod(argv[2], NULL) / (size_t)t.threads / (2 * BLOCK) * (2 * BLOCK);
    t.large = (size_t)strtod(argv[3], NULL) / (2 * PIECE) * (2 * PIECE);
    if (t.small == 0 || t.large < t.small * (size_t)t.threads || start(&t, members, ids)) {
        fprintf(stderr, "native_peak: no memory, no threads, or wrong working sets\n");
        return 1;
    }
    measure(&t, members, strtod(argv[1], NULL), best);
    print_results(&t, best);
    uint32_t sum = 0;
    t.job = JOBS;
    pthread_barrier_wait(&t.barrier);
    for (int i = 0; i < t.threads; i++) {
        if (i > 0)
            pthread_join(ids[i], NULL);
        sum += members[i].sum;
    }
    free(t.x);
    free(t.y);
    fprintf(stderr, "%s, %d threads, sum %u\n", t.k->name, t.threads, sum);
    return 0;
}

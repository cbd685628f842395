/* From source to program: sharing, build errors, and the cache on disk in all its conditions. */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache.h"
#include "kernel.h"

static char folder[256], cl_dir[300], cache_dir[300];
static int notices;

static void count_notice(void *arg, const char *text)
{
    ck_assert_ptr_eq(arg, folder);
    ck_assert_ptr_nonnull(strstr(text, "compiling kernels for "));
    notices++;
}

static void write_file(const char *dir, const char *name, const void *bytes, size_t size)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
}

static void write_kernel(const char *name, const char *text)
{
    write_file(cl_dir, name, text, strlen(text));
}

static const char answer_cl[] =
    "kernel void answer(global int *y) { y[get_global_id(0)] = ANSWER; }\n";

/* A folder for this test alone, with a kernel folder and an empty cache in it. */
static void setup(void)
{
    snprintf(folder, sizeof folder, "%s/test-program.XXXXXX", CLNORM_BINARY_DIR);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(cl_dir, sizeof cl_dir, "%s/cl", folder);
    snprintf(cache_dir, sizeof cache_dir, "%s/a/b", folder); /* made when it is needed */
    ck_assert_int_eq(mkdir(cl_dir, 0700), 0);
    setenv("CLNORM_CL_DIR", cl_dir, 1);
    setenv("CLNORM_CACHE_DIR", cache_dir, 1);
    setenv("CLNORM_KEEP_BINARIES", "1", 1); /* also on PoCL */
    write_kernel("answer.cl", answer_cl);
    notices = 0;
}

static void remove_all(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[1200];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (unlink(path))
            remove_all(path);
    }
    if (d)
        closedir(d);
    rmdir(dir);
}

static void teardown(void)
{
    remove_all(folder);
}

static cln_device *open_device(void)
{
    cln_error err = {0};
    cln_device *dev = NULL;
    ck_assert_msg(cln_device_open(NULL, false, &dev, &err) == CLN_OK, "%s", err.text);
    dev->notice = count_notice;
    dev->notice_arg = folder;
    return dev;
}

/* What answer.cl gives when it is built with `options`. */
static int answer(cln_device *dev, const char *options)
{
    cln_error err = {0};
    cln_kernel k = {0};
    cln_tensor y = {0};
    int got = -1;
    ck_assert_msg(cln_kernel_new(dev, "answer.cl", "answer", options, &k, &err) == 0, "%s\n%s",
                  err.text, err.log);
    ck_assert_msg(cln_tensor_new(dev, sizeof got, "a test", &y, &err) == 0, "%s", err.text);
    ck_assert_msg(cln_run(&k, cln_range1(1, 1), &err, CLN_MEM(y)) == 0, "%s", err.text);
    ck_assert_msg(cln_tensor_read(dev, y, 0, &got, sizeof got, &err) == 0, "%s", err.text);
    cln_tensor_free(&y);
    cln_kernel_free(&k);
    return got;
}

/* One process's life: build, run, save, close. Returns how many notices it gave. */
static int session(int expected)
{
    char options[32];
    snprintf(options, sizeof options, "-D ANSWER=%d", expected);
    notices = 0;
    cln_device *dev = open_device();
    ck_assert_int_eq(answer(dev, options), expected);
    cln_program_cache_save(dev);
    cln_device_close(dev);
    return notices;
}

/* The only file in the cache; returns its size. */
static size_t cache_file(char *path, size_t path_size)
{
    int n = 0;
    DIR *d = opendir(cache_dir);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') {
            snprintf(path, path_size, "%s/%s", cache_dir, e->d_name);
            n++;
        }
    closedir(d);
    ck_assert_int_eq(n, 1);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    return (size_t)st.st_size;
}

START_TEST(shared_by_file_and_options)
{
    cln_error err = {0};
    cln_program *a, *b, *c;
    cln_device *dev = open_device();
    ck_assert_int_eq(cln_program_get(dev, "answer.cl", "-D ANSWER=1", &a, &err), 0);
    ck_assert_int_eq(cln_program_get(dev, "answer.cl", "-D ANSWER=1", &b, &err), 0);
    ck_assert_int_eq(cln_program_get(dev, "answer.cl", "-D ANSWER=2", &c, &err), 0);
    ck_assert_ptr_eq(a, b);
    ck_assert_ptr_ne(a, c);
    ck_assert_ptr_ne(cln_program_id(a), cln_program_id(c));
    ck_assert_int_eq(answer(dev, "-D ANSWER=1"), 1);
    ck_assert_int_eq(answer(dev, "-D ANSWER=2"), 2);
    ck_assert_int_eq(notices, 1); /* one word, not one a program */
    cln_device_close(dev);
}
END_TEST

START_TEST(build_error_names_the_place)
{
    cln_error err = {0};
    cln_program *p = NULL;
    write_kernel("x.cl", "// 1\n// 2\n// 3\n// 4\nkernel void f(global int *y)\n{\n"
                         "    y[0] = 1 + 2 + nonsense;\n}\n");
    cln_device *dev = open_device();
    ck_assert_int_eq(cln_program_get(dev, "x.cl", "-D K=3", &p, &err), CLN_ERR_BUILD);
    ck_assert_ptr_null(p);
    ck_assert_int_eq(err.code, CLN_ERR_BUILD);
    ck_assert_msg(strstr(err.text, "x.cl:7:20") != NULL, "text: %s\nlog: %s", err.text, err.log);
    ck_assert_ptr_nonnull(strstr(err.text, "nonsense"));
    ck_assert_ptr_nonnull(strstr(err.text, "-D K=3"));
    ck_assert_ptr_nonnull(strstr(err.log, "x.cl:7:20"));
    /* The fault is not remembered: the file is corrected and builds. */
    write_kernel("x.cl", "kernel void f(global int *y)\n{\n    y[0] = 1;\n}\n");
    ck_assert_int_eq(cln_program_get(dev, "x.cl", "-D K=3", &p, &err), CLN_OK);
    cln_device_close(dev);
}
END_TEST

START_TEST(files_in_files)
{
    cln_error err = {0};
    cln_program *p = NULL;
    write_kernel("outer.cl", "#include \"middle.h\"\nkernel void f(global int *y)\n{\n    y[0] = MIDDLE;\n}\n");
    write_kernel("middle.h", "#include \"inner.h\"\n#define MIDDLE (INNER + nonsense)\n");
    write_kernel("inner.h", "#define INNER 1\n#define nonsense 2\n");
    cln_device *dev = open_device();
    ck_assert_msg(cln_program_get(dev, "outer.cl", "", &p, &err) == CLN_OK, "%s", err.text);
    /* Lines are counted on behind what was included. */
    write_kernel("inner.h", "#define INNER 1\n");
    ck_assert_int_eq(cln_program_get(dev, "outer.cl", "-D AGAIN", &p, &err), CLN_ERR_BUILD);
    ck_assert_msg(strstr(err.text, "outer.cl:4:12") != NULL, "text: %s\nlog: %s", err.text, err.log);
    /* One that includes itself is refused. */
    write_kernel("inner.h", "#include \"middle.h\"\n");
    ck_assert_int_eq(cln_program_get(dev, "outer.cl", "-D ROUND", &p, &err), CLN_ERR_INTERNAL);
    ck_assert_ptr_nonnull(strstr(err.text, "included"));
    cln_device_close(dev);
}
END_TEST

START_TEST(unknown_file_and_kernel)
{
    cln_error err = {0};
    cln_program *p = NULL;
    cln_kernel k = {0};
    cln_device *dev = open_device();
    ck_assert_int_eq(cln_program_get(dev, "absent.cl", "", &p, &err), CLN_ERR_INTERNAL);
    ck_assert_ptr_nonnull(strstr(err.text, "absent.cl"));
    ck_assert_int_eq(cln_kernel_new(dev, "answer.cl", "question", "-D ANSWER=1", &k, &err),
                     CLN_ERR_INTERNAL);
    ck_assert_ptr_nonnull(strstr(err.text, "question"));
    ck_assert_ptr_nonnull(strstr(err.text, "answer.cl"));
    ck_assert_ptr_null(k.id);
    cln_kernel_free(&k);
    cln_device_close(dev);
}
END_TEST

START_TEST(embedded_files)
{
    const cln_embedded_file *f = cln_embedded_find("common.cl");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_gt(f->size, 100);
    ck_assert_int_eq(f->bytes[f->size], 0);
    ck_assert_uint_eq(strlen((const char *)f->bytes), f->size);
    ck_assert_ptr_null(cln_embedded_find("absent.cl"));

    /* Byte for byte what is in the source tree. */
    FILE *in = fopen(CLNORM_SOURCE_DIR "/cl/common.cl", "rb");
    ck_assert_ptr_nonnull(in);
    for (size_t i = 0; i < f->size; i++)
        ck_assert_int_eq(fgetc(in), f->bytes[i]);
    ck_assert_int_eq(fgetc(in), EOF);
    fclose(in);
}
END_TEST

START_TEST(cache_hit)
{
    char path[700];
    ck_assert_int_eq(session(41), 1);
    ck_assert_uint_gt(cache_file(path, sizeof path), 0);
    ck_assert_int_eq(session(41), 0);
    ck_assert_int_eq(session(42), 1); /* other options are another program */
    ck_assert_int_eq(session(41), 0);
    ck_assert_int_eq(session(42), 0);
}
END_TEST

START_TEST(cache_follows_the_source)
{
    ck_assert_int_eq(session(5), 1);
    write_kernel("answer.cl",
                 "kernel void answer(global int *y) { y[get_global_id(0)] = ANSWER + 0; }\n");
    ck_assert_int_eq(session(5), 1);
    write_kernel("answer.cl", answer_cl);
    ck_assert_int_eq(session(5), 0);
}
END_TEST

/* A file cut at every kind of place, or empty, is as good as absent, and is replaced. */
START_TEST(cache_truncated)
{
    char path[700];
    ck_assert_int_eq(session(6), 1);
    const size_t size = cache_file(path, sizeof path);
    const size_t cuts[] = {0, 1, 8, 30, 48, 49, size / 2, size - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        ck_assert_int_eq(truncate(path, (off_t)cuts[i]), 0);
        ck_assert_int_eq(session(6), 1);
        ck_assert_int_eq(session(6), 0);
    }
}
END_TEST

START_TEST(cache_altered)
{
    char path[700];
    ck_assert_int_eq(session(7), 1);
    const size_t size = cache_file(path, sizeof path);
    const size_t places[] = {0, 9, 20, 48, size / 2, size - 1};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        FILE *f = fopen(path, "r+b");
        ck_assert_ptr_nonnull(f);
        fseek(f, (long)places[i], SEEK_SET);
        int c = fgetc(f);
        fseek(f, (long)places[i], SEEK_SET);
        fputc(c ^ 0x10, f);
        fclose(f);
        ck_assert_int_eq(session(7), 1);
        ck_assert_int_eq(session(7), 0);
    }
}
END_TEST

/* A sound file whose bytes the driver does not take (another driver with the same name). */
START_TEST(cache_refused_by_the_driver)
{
    char path[700], key[CLN_CACHE_KEY];
    ck_assert_int_eq(session(8), 1);
    cache_file(path, sizeof path);
    memcpy(key, strrchr(path, '/') + 1, CLN_CACHE_KEY - 1);
    key[CLN_CACHE_KEY - 1] = '\0';
    static const unsigned char garbage[200] = "this is no program";
    ck_assert(cln_cache_store(key, garbage, sizeof garbage));
    unsigned char *back = NULL;
    size_t size = 0;
    ck_assert(cln_cache_load(key, &back, &size));
    ck_assert_uint_eq(size, sizeof garbage);
    ck_assert_int_eq(memcmp(back, garbage, size), 0);
    free(back);
    ck_assert_int_eq(session(8), 1);
    ck_assert_int_eq(session(8), 0);
}
END_TEST

/* Works without a cache. A folder below a file cannot be made, not even by root. */
START_TEST(cache_unwritable)
{
    char dir[700];
    snprintf(dir, sizeof dir, "%s/answer.cl/cache", cl_dir);
    setenv("CLNORM_CACHE_DIR", dir, 1);
    ck_assert_int_eq(session(9), 1);
    ck_assert_int_eq(session(9), 1);
}
END_TEST

START_TEST(cache_default_places)
{
    char path[700];
    struct stat st;
    unsetenv("CLNORM_CACHE_DIR");
    setenv("XDG_CACHE_HOME", folder, 1);
    ck_assert_int_eq(session(10), 1);
    snprintf(path, sizeof path, "%s/clnorm", folder);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(session(10), 0);

    setenv("XDG_CACHE_HOME", "relative", 1); /* which counts as not set */
    setenv("HOME", folder, 1);
    ck_assert_int_eq(session(10), 1);
    snprintf(path, sizeof path, "%s/.cache/clnorm", folder);
    ck_assert_int_eq(stat(path, &st), 0);
    unsetenv("XDG_CACHE_HOME");
    ck_assert_int_eq(session(10), 0);
}
END_TEST

START_TEST(cache_keys)
{
    char a[CLN_CACHE_KEY], b[CLN_CACHE_KEY];
    ck_assert(cln_cache_key((const char *[]){"ab", "c"}, 2, a));
    ck_assert(cln_cache_key((const char *[]){"a", "bc"}, 2, b));
    ck_assert_str_ne(a, b);
    ck_assert_uint_eq(strlen(a), 64);
    ck_assert(cln_cache_key((const char *[]){"ab", "c"}, 2, b));
    ck_assert_str_eq(a, b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("program");
    TCase *t = tcase_create("program");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, shared_by_file_and_options);
    tcase_add_test(t, build_error_names_the_place);
    tcase_add_test(t, files_in_files);
    tcase_add_test(t, unknown_file_and_kernel);
    tcase_add_test(t, embedded_files);
    tcase_add_test(t, cache_hit);
    tcase_add_test(t, cache_follows_the_source);
    tcase_add_test(t, cache_truncated);
    tcase_add_test(t, cache_altered);
    tcase_add_test(t, cache_refused_by_the_driver);
    tcase_add_test(t, cache_unwritable);
    tcase_add_test(t, cache_keys);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    if (srunner_fork_status(r) == CK_FORK) /* it changes HOME */
        tcase_add_test(t, cache_default_places);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

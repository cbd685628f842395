/* Files of tensors: round trips, the bytes that others write, and everything that is wrong with a file. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/scratch.h"
#include "file.h"
#include "safetensors.h"

#define OK(call) ck_assert_msg((call) == 0, "%s", err.text)

static cln_error err;

static void setup(void)
{
    memset(&err, 0, sizeof err);
    scratch_new();
}

static const float weight[6] = {1.5f, -2, 0.25f, 1e-30f, 3e38f, -0.0f};
static const int64_t counter = 0x0102030405060708;
static const uint8_t flags[3] = {0, 255, 7};

static void make(cln_st_file *st)
{
    memset(st, 0, sizeof *st);
    OK(cln_st_add(st, "flags", CLN_ST_U8, (int64_t[]){3}, 1, flags, &err));
    OK(cln_st_add(st, "0.weight", CLN_ST_F32, (int64_t[]){2, 3}, 2, weight, &err));
    OK(cln_st_add(st, "none", CLN_ST_F32, (int64_t[]){4, 0}, 2, NULL, &err));
    OK(cln_st_add(st, "step", CLN_ST_I64, NULL, 0, &counter, &err));
    OK(cln_st_add_meta(st, "model", "conv 16\nsay \"hi\" \xc3\xa4", &err));
    OK(cln_st_add_meta(st, "", "", &err));
}

START_TEST(round_trip)
{
    cln_st_file st, back = {0};
    const cln_st_tensor *t = NULL;

    make(&st);
    OK(cln_st_write(&st, at("a"), &err));
    OK(cln_st_read(&back, at("a"), &err));
    ck_assert_int_eq(back.n_tensors, 4);
    ck_assert_int_eq(back.n_meta, 2);
    ck_assert_str_eq(back.path, at("a"));
    ck_assert_str_eq(cln_st_find_meta(&back, "model"), "conv 16\nsay \"hi\" \xc3\xa4");
    ck_assert_str_eq(cln_st_find_meta(&back, ""), "");
    ck_assert_ptr_null(cln_st_find_meta(&back, "other"));
    ck_assert_str_eq(back.tensors[0].name, "step"); /* wider types first */

    OK(cln_st_expect(&back, "0.weight", CLN_ST_F32, (int64_t[]){2, 3}, 2, &t, &err));
    ck_assert_uint_eq(t->bytes, sizeof weight);
    ck_assert_mem_eq(t->data, weight, sizeof weight);
    OK(cln_st_expect(&back, "step", CLN_ST_I64, NULL, 0, &t, &err));
    ck_assert_mem_eq(t->data, &counter, sizeof counter);
    OK(cln_st_expect(&back, "flags", CLN_ST_U8, (int64_t[]){3}, 1, &t, &err));
    ck_assert_mem_eq(t->data, flags, sizeof flags);
    OK(cln_st_expect(&back, "none", CLN_ST_F32, (int64_t[]){4, 0}, 2, &t, &err));
    ck_assert_uint_eq(t->bytes, 0);
    ck_assert_ptr_nonnull(t->data);

    /* the same contents give the same bytes */
    OK(cln_st_write(&st, at("b"), &err));
    blob a = get("a"), b = get("b");
    ck_assert_uint_eq(a.size, b.size);
    ck_assert_mem_eq(a.bytes, b.bytes, a.size);
    free(a.bytes);
    free(b.bytes);
    cln_st_clear(&st);
    cln_st_clear(&back);
    cln_st_clear(&back);
    cln_st_clear(NULL);
}
END_TEST

/* The layout byte by byte, without help from the reader. */
START_TEST(bytes_on_disk)
{
    static const char header[] = "{\"__metadata__\":{\"k\":\"v\"},"
                                 "\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                                 "\"u\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[8,9]}}";
    cln_st_file st = {0};

    OK(cln_st_add(&st, "u", CLN_ST_U8, (int64_t[]){1}, 1, "\x7f", &err));
    OK(cln_st_add(&st, "w", CLN_ST_F32, (int64_t[]){2}, 1, (float[]){1, -2}, &err));
    OK(cln_st_add_meta(&st, "k", "v", &err));
    OK(cln_st_write(&st, at("a"), &err));
    cln_st_clear(&st);
    blob a = get("a");
    size_t n = (unsigned char)a.bytes[0], text = strlen(header);
    ck_assert_mem_eq(a.bytes + 1, "\0\0\0\0\0\0\0", 7);
    ck_assert_uint_eq(n % 8, 0);
    ck_assert_uint_lt(n - text, 8);
    ck_assert_mem_eq(a.bytes + 8, header, text);
    for (size_t i = text; i < n; i++)
        ck_assert_int_eq(a.bytes[8 + i], ' ');
    ck_assert_uint_eq(a.size, 8 + n + 9);
    ck_assert_mem_eq(a.bytes + 8 + n, "\0\0\x80\x3f\0\0\0\xc0\x7f", 9);
    free(a.bytes);
}
END_TEST

/* Written by the Python package, version 0.8: save_file with
 *     "0.weight": (arange(24) / 8 - 1.5) as (2, 3, 2, 2), "0.bias": [0.25, -2], "mask": [[0, 255, 7]] as uint8,
 *     "1.num_batches_tracked": int64 scalar 1234567890123, "empty": (0, 4)
 *     metadata {"format": "pt", "note": 'hello "quoted"' with an e acute} */
START_TEST(from_python)
{
    cln_st_file st = {0};
    const cln_st_tensor *t = NULL;

    OK(cln_st_read(&st, CLNORM_SOURCE_DIR "/tests/fixtures/tiny.safetensors", &err));
    ck_assert_int_eq(st.n_tensors, 5);
    OK(cln_st_expect(&st, "0.weight", CLN_ST_F32, (int64_t[]){2, 3, 2, 2}, 4, &t, &err));
    for (int i = 0; i < 24; i++)
        ck_assert(((const float *)t->data)[i] == (float)i / 8 - 1.5f);
    OK(cln_st_expect(&st, "0.bias", CLN_ST_F32, (int64_t[]){2}, 1, &t, &err));
    ck_assert_mem_eq(t->data, ((float[]){0.25f, -2}), 8);
    OK(cln_st_expect(&st, "1.num_batches_tracked", CLN_ST_I64, NULL, 0, &t, &err));
    ck_assert_int_eq(*(const int64_t *)t->data, 1234567890123);
    OK(cln_st_expect(&st, "mask", CLN_ST_U8, (int64_t[]){1, 3}, 2, &t, &err));
    ck_assert_mem_eq(t->data, flags, 3);
    OK(cln_st_expect(&st, "empty", CLN_ST_F32, (int64_t[]){0, 4}, 2, &t, &err));
    ck_assert_str_eq(cln_st_find_meta(&st, "format"), "pt");
    ck_assert_str_eq(cln_st_find_meta(&st, "note"), "h\xc3\xa9llo \"quoted\"");
    cln_st_clear(&st);
}
END_TEST

START_TEST(expectations)
{
    cln_st_file st;
    const cln_st_tensor *t = NULL;

    make(&st);
    ck_assert_int_eq(cln_st_expect(&st, "1.weight", CLN_ST_F32, (int64_t[]){2, 3}, 2, &t, &err),
                     CLN_ERR_CHECKPOINT);
    ck_assert_ptr_nonnull(strstr(err.text, "no '1.weight' (F32 2x3)"));
    ck_assert_int_eq(cln_st_expect(&st, "0.weight", CLN_ST_F32, (int64_t[]){3, 2}, 2, &t, &err),
                     CLN_ERR_CHECKPOINT);
    ck_assert_ptr_nonnull(strstr(err.text, "'0.weight' is F32 2x3 there, not F32 3x2"));
    ck_assert_int_eq(cln_st_expect(&st, "step", CLN_ST_F32, NULL, 0, &t, &err), CLN_ERR_CHECKPOINT);
    ck_assert_int_eq(cln_st_expect(&st, "0.weight", CLN_ST_F32, (int64_t[]){2, 3, 1}, 3, &t, &err),
                     CLN_ERR_CHECKPOINT);
    ck_assert_ptr_null(t);
    cln_st_clear(&st);
}
END_TEST

START_TEST(refused_additions)
{
    char longest[257];
    cln_st_file st;

    make(&st);
    memset(longest, 'n', sizeof longest);
    longest[256] = '\0';
    ck_assert_int_eq(cln_st_add(&st, longest, CLN_ST_U8, NULL, 0, flags, &err), CLN_ERR_INTERNAL);
    longest[255] = '\0';
    OK(cln_st_add(&st, longest, CLN_ST_U8, NULL, 0, flags, &err));
    ck_assert_int_eq(cln_st_add(&st, longest, CLN_ST_U8, NULL, 0, flags, &err), CLN_ERR_INTERNAL);
    ck_assert_int_eq(cln_st_add(&st, "", CLN_ST_U8, NULL, 0, flags, &err), CLN_ERR_INTERNAL);
    ck_assert_int_eq(cln_st_add(&st, "a\nb", CLN_ST_U8, NULL, 0, flags, &err), CLN_ERR_INTERNAL);
    ck_assert_int_eq(cln_st_add(&st, "__metadata__", CLN_ST_U8, NULL, 0, flags, &err),
                     CLN_ERR_INTERNAL);
    ck_assert_int_eq(cln_st_add(&st, "x", CLN_ST_U8, (int64_t[]){-1}, 1, flags, &err),
                     CLN_ERR_INTERNAL);
    ck_assert_int_eq(
        cln_st_add(&st, "x", CLN_ST_F32, (int64_t[]){1 << 20, 1 << 20}, 2, flags, &err),
        CLN_ERR_INTERNAL);
    ck_assert_int_eq(
        cln_st_add(&st, "x", CLN_ST_U8, (int64_t[9]){1, 1, 1, 1, 1, 1, 1, 1, 1}, 9, flags, &err),
        CLN_ERR_INTERNAL);
    ck_assert_int_eq(cln_st_add_meta(&st, "model", "again", &err), CLN_ERR_INTERNAL);
    ck_assert_int_eq(st.n_tensors, 5);
    ck_assert_int_eq(st.n_meta, 2);
    OK(cln_st_add_meta(&st, "bad", "\xff", &err)); /* noticed by the writer */
    ck_assert_int_ne(cln_st_write(&st, at("a"), &err), 0);
    ck_assert(!cln_file_exists(at("a")));
    cln_st_clear(&st);
}
END_TEST

/* ---- malformed files ------------------------------------------------------------------------- */

#define ENTRY(name, dtype, shape, offsets)                                                         \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" offsets "]}"

static const struct {
    const char *header;
    int data; /* bytes that follow it */
    const char *say;
} malformed[] = {
    {"", 4, "has only"},
    {"x", 4, "does not begin with '{'"},
    {" {}", 0, "does not begin with '{'"},
    {"[]", 0, "does not begin with '{'"},
    {"{ ", 0, "no JSON"},
    {"{", 0, "has only 9 bytes"},
    {"{} {}", 0, "no JSON"},
    {"{\"a\":\"\xff\"}", 0, "no JSON"},
    {"{}", 1, "has 1 bytes of data, its tensors 0"},
    {"{" ENTRY("a", "F32", "1", "0,4") "}", 5, "has 5 bytes of data, its tensors 4"},
    {"{" ENTRY("a", "F32", "1", "0,4") "}", 3, "outside of the file"},
    {"{" ENTRY("a", "F32", "2", "0,4") "}", 4, "does not fit"},
    {"{" ENTRY("a", "F32", "", "0,8") "}", 8, "does not fit"},
    {"{" ENTRY("a", "U8", "0", "0,1") "}", 1, "does not fit"},
    {"{" ENTRY("a", "F32", "1", "4,8") "}", 8, "leave a gap or overlap"},
    {"{" ENTRY("a", "F32", "1", "4,0") "}", 8, "outside of the file"},
    {"{" ENTRY("a", "F32", "1", "-4,0") "}", 8, "outside of the file"},
    {"{" ENTRY("a", "F32", "1", "0,4.0") "}", 4, "outside of the file"},
    {"{" ENTRY("a", "F32", "1", "0") "}", 4, "outside of the file"},
    {"{" ENTRY("a", "F32", "1", "0,4,4") "}", 4, "outside of the file"},
    {"{" ENTRY("a", "F32", "1", "0,99999999999999999999") "}", 4, "no JSON"},
    {"{" ENTRY("a", "F32", "1", "0,4") "," ENTRY("b", "F32", "1", "2,6") "}", 6, "gap or overlap"},
    {"{" ENTRY("a", "F32", "1", "0,4") "," ENTRY("b", "F32", "1", "0,4") "}", 4, "gap or overlap"},
    {"{" ENTRY("a", "F32", "1", "0,4") "," ENTRY("b", "F32", "1", "5,9") "}", 9, "gap or overlap"},
    {"{" ENTRY("a", "F32", "1", "0,4") "," ENTRY("a", "F32", "1", "4,8") "}", 8,
     "no JSON: duplicate"},
    {"{" ENTRY("a", "F32", "-1", "0,4") "}", 4, "dimension is out of range"},
    {"{" ENTRY("a", "F32", "1.0", "0,4") "}", 4, "dimension is out of range"},
    {"{" ENTRY("a", "F32", "\"1\"", "0,4") "}", 4, "dimension is out of range"},
    {"{" ENTRY("a", "F32", "9223372036854775807", "0,4") "}", 4, "dimension is out of range"},
    {"{" ENTRY("a", "U8", "1073741824,1073741824,16", "0,0") "}", 0, "shape is out of range"},
    {"{" ENTRY("a", "F32", "1073741824", "0,0") "}", 0, "shape is out of range"},
    {"{" ENTRY("a", "U8", "1,1,1,1,1,1,1,1,1", "0,1") "}", 1, "too many dimensions"},
    {"{" ENTRY("a", "F16", "2", "0,4") "}", 4, "none of F32, I64, U8"},
    {"{" ENTRY("a", "f32", "1", "0,4") "}", 4, "none of F32, I64, U8"},
    {"{" ENTRY("", "F32", "1", "0,4") "}", 4, "name is empty"},
    {"{" ENTRY("a\\u001b[31m", "F32", "1", "0,4") "}", 4,
     "tensor '?': its name holds a control character"},
    {"{" ENTRY("a\\u0000b", "F32", "1", "0,4") "}", 4, "no JSON"},
    {"{\"a\":[]}", 0, "its entry is not"},
    {"{\"a\":null}", 0, "its entry is not"},
    {"{\"a\":{}}", 0, "its entry is not"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"offsets\":[0,4]}}", 4, "its entry is not"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"more\":1}}", 4,
     "its entry is not"},
    {"{\"a\":{\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "its entry is not"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, "its entry is not"},
    {"{\"__metadata__\":[]}", 0, "metadata are no map"},
    {"{\"__metadata__\":{\"k\":1}}", 0, "hold a value that is no string"},
    {"{\"__metadata__\":{\"k\":\"v\",\"k\":\"w\"}}", 0, "no JSON: duplicate"},
};
enum { N_MALFORMED = sizeof malformed / sizeof malformed[0] };

static void put_file(uint64_t claimed, const char *header, size_t n, int data)
{
    char *bytes = calloc(8 + n + (size_t)data, 1);
    ck_assert_ptr_nonnull(bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(claimed >> (8 * i));
    memcpy(bytes + 8, header, n);
    put("bad", bytes, 8 + n + (size_t)data);
    free(bytes);
}

static void refused(const char *say)
{
    cln_st_file st = {0};

    memset(&err, 0, sizeof err);
    ck_assert_int_eq(cln_st_read(&st, at("bad"), &err), CLN_ERR_CHECKPOINT);
    ck_assert_int_eq(err.code, CLN_ERR_CHECKPOINT);
    ck_assert_msg(strstr(err.text, say) != NULL, "'%s' is not in: %s", say, err.text);
    ck_assert_msg(strstr(err.text, at("bad")) != NULL, "no file in: %s", err.text);
    ck_assert_ptr_null(st.tensors);
    ck_assert_ptr_null(st.path);
}

START_TEST(refused_header)
{
    const char *header = malformed[_i].header;
    put_file(strlen(header), header, strlen(header), malformed[_i].data);
    if (header[0] == '\0')
        put("bad", "\0\0\0\0", 4);
    refused(malformed[_i].say);
}
END_TEST

START_TEST(refused_lengths)
{
    static const char header[] = "{" ENTRY("a", "F32", "1", "0,4") "}";
    size_t n = strlen(header);

    put("bad", "", 0);
    refused("has only 0 bytes");
    put_file(n + 5, header, n, 4);
    refused("ends within its header");
    put_file((1 << 20) + 1, header, n, 4);
    refused("more than 1 MiB");
    put_file(UINT64_MAX, header, n, 4);
    refused("more than 1 MiB");
    put_file(0, header, n, 4);
    refused("does not begin");

    put_file(n, header, n, 4); /* a sparse file of more than 1 GiB */
    ck_assert_int_eq(truncate(at("bad"), ((off_t)1 << 30) + 1), 0);
    refused("more than 1 GiB");
}
END_TEST

/* A good file cut at every length is refused; and with any one byte changed it is refused or read, but
 * never more (the sanitizers watch). */
START_TEST(damaged_anywhere)
{
    cln_st_file st;
    int read = 0;

    make(&st);
    OK(cln_st_write(&st, at("good"), &err));
    cln_st_clear(&st);
    blob good = get("good");
    for (size_t n = 0; n < good.size; n++) {
        put("bad", good.bytes, n);
        refused("is damaged or no safetensors file");
    }
    for (size_t i = 0; i < good.size; i++) {
        char old = good.bytes[i];
        good.bytes[i] = (char)(old ^ (1 << (i % 7)));
        put("bad", good.bytes, good.size);
        good.bytes[i] = old;
        int rc = cln_st_read(&st, at("bad"), &err);
        ck_assert(rc == 0 || rc == CLN_ERR_CHECKPOINT);
        read += rc == 0;
        if (rc == 0)
            cln_st_clear(&st);
    }
    ck_assert_int_gt(read, 30); /* at least where a value changed */
    free(good.bytes);
}
END_TEST

START_TEST(no_file)
{
    cln_st_file st = {0};

    ck_assert_int_eq(cln_st_read(&st, at("absent"), &err), CLN_ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "absent"));
    ck_assert_int_eq(cln_st_read(&st, at(""), &err), CLN_ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "is a folder"));
}
END_TEST

/* ---- a full disk ----------------------------------------------------------------------------- */

START_TEST(full_disk)
{
    static const float big[4096];
    cln_st_file st, back = {0};
    struct rlimit old, tight;

    make(&st);
    OK(cln_st_write(&st, at("a"), &err));
    OK(cln_st_add(&st, "big", CLN_ST_F32, (int64_t[]){4096}, 1, big, &err));
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    tight = old;
    tight.rlim_cur = 8192;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &tight), 0);
    int rc = cln_st_write(&st, at("a"), &err);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);

    ck_assert_int_eq(rc, CLN_ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, at("a")));
    ck_assert_ptr_nonnull(strstr(err.text, "or choose another folder"));
    OK(cln_st_read(&back, at("a"), &err)); /* the old file is whole */
    ck_assert_int_eq(back.n_tensors, 4);
    cln_st_clear(&back);
    OK(cln_st_write(&st, at("a"), &err)); /* and room again is enough */
    OK(cln_st_read(&back, at("a"), &err));
    ck_assert_int_eq(back.n_tensors, 5);
    cln_st_clear(&back);
    cln_st_clear(&st);
    ck_assert_int_eq(unlink(at("a")), 0);
    ck_assert_msg(rmdir(at("")) == 0, "a temporary file was left");
    scratch_new(); /* for the teardown */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("safetensors");
    TCase *t = tcase_create("safetensors");
    tcase_add_checked_fixture(t, setup, scratch_remove);
    tcase_add_test(t, round_trip);
    tcase_add_test(t, bytes_on_disk);
    tcase_add_test(t, from_python);
    tcase_add_test(t, expectations);
    tcase_add_test(t, refused_additions);
    tcase_add_loop_test(t, refused_header, 0, N_MALFORMED);
    tcase_add_test(t, refused_lengths);
    tcase_add_test(t, damaged_anywhere);
    tcase_add_test(t, no_file);
    tcase_add_test(t, full_disk);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Files of the MNIST format (IDX): plain and gzip alike byte for byte; wrong, damaged and hostile
 * ones are refused with one line that names the file. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/scratch.h"

static const char *const IDX_NAMES[4] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                         "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

static size_t idx_header(char *out, unsigned magic, int dims, const unsigned *sizes)
{
    unsigned words[4] = {magic, sizes[0], dims > 1 ? sizes[1] : 0, dims > 1 ? sizes[2] : 0};
    for (int i = 0; i <= dims; i++)
        for (int k = 0; k < 4; k++)
            out[4 * i + k] = (char)(words[i] >> (24 - 8 * k));
    return 4 * (size_t)(dims + 1);
}

/* File `which` of IDX_NAMES with other sizes or magic than it should have, for those that want
 * them. */
static void put_idx(const char *dir, int which, bool gz, unsigned magic, const unsigned sizes[3],
                    int more)
{
    char bytes[8192] = {0}, name[128];
    bool labels = which % 2;
    size_t n = idx_header(bytes, magic, labels ? 1 : 3, sizes);
    size_t body = labels ? sizes[0] : (size_t)sizes[0] * sizes[1] * sizes[2];
    for (size_t i = 0; i < body && n < sizeof bytes - 16; i++)
        bytes[n++] = (char)(labels ? i % 4 : (i * 7 + (size_t)which) % 256);
    n = (size_t)((long)n + more);
    snprintf(name, sizeof name, "%s/%s%s", dir, IDX_NAMES[which], gz ? ".gz" : "");
    if (gz)
        put_gzip(name, bytes, n);
    else
        put(name, bytes, n);
}

static const unsigned IDX_SIZES[2][3] = {{12, 5, 9}, {6, 5, 9}};

static void put_idx_folder(const char *dir, bool gz)
{
    mkdir(at(dir), 0777);
    for (int i = 0; i < 4; i++)
        put_idx(dir, i, gz, i % 2 ? 0x801 : 0x803, IDX_SIZES[i / 2], 0);
}

START_TEST(idx_plain_and_gzip_agree)
{
    put_idx_folder("small", false);
    put_idx_folder("small-gz", true);
    cln_dataset *d = accept_data(at("small")), *z = accept_data(at("small-gz"));
    ck_assert_int_eq(d->c * 10000 + d->h * 100 + d->w, 10509);
    ck_assert_uint_eq(d->n_train, 12);
    ck_assert_uint_eq(d->n_test, 6);
    for (size_t i = 0; i < 12 * 45; i++)
        ck_assert_int_eq(d->train_x[i], i * 7 % 256);
    for (size_t i = 0; i < 6 * 45; i++)
        ck_assert_int_eq(d->test_x[i], (i * 7 + 2) % 256);
    for (size_t i = 0; i < 6; i++)
        ck_assert_int_eq(d->test_y[i], i % 4);
    ck_assert_int_eq(d->classes, 4);
    ck_assert_str_eq(d->class_names[3], "3");
    ck_assert_str_eq(d->name, "small");
    ck_assert_str_eq(z->name, "small-gz");
    ck_assert_str_eq(d->digest, z->digest);
    cln_dataset_free(d);
    cln_dataset_free(z);
}
END_TEST

typedef struct idx_case {
    int which;
    unsigned magic, sizes[3];
    int more; /* bytes added or cut */
    const char *say;
} idx_case;

static const idx_case IDX_CASES[] = {
    {0, 0x801, {12, 5, 9}, 0, "expected 0x00000803"},
    {1, 0x803, {12, 0, 0}, 0, "expected 0x00000801"},
    {0, 0x803, {11, 5, 9}, 0, "12 labels, but there are 11 images"},
    {0, 0x803, {12, 5, 9}, -1, "ends after 539 of 540 bytes of images"},
    {0, 0x803, {12, 5, 9}, 1, "longer than its header says"},
    {1, 0x801, {12, 0, 0}, -1, "ends after 11 of 12 bytes of labels"},
    {3, 0x801, {6, 0, 0}, 1, "longer than its header says"},
    {2, 0x803, {6, 9, 5}, 0, "the training images are 5x9"},
    {0, 0x803, {0, 5, 9}, 0, "0 images"},
    {0, 0x803, {12, 0, 9}, 0, "0x9"},
    {0, 0x803, {1, 513, 1}, 0, "1 to 512 pixels"},
    {0, 0x803, {4294967295u, 28, 28}, 0, "4294967295 images"},
    {0, 0x803, {1u << 20, 512, 512}, 0, "2 GiB at most"},
    {0, 0x803, {8000, 512, 512}, 0, "ends after"}, /* 2 GB promised, 8 KiB there */
    {2, 0x803, {1u << 20, 1, 1}, 0, "1048576 images"},
    {0, 0x803, {12, 5, 9}, -545, "header"},
};

START_TEST(idx_bad_files)
{
    const idx_case *c = &IDX_CASES[_i];
    char name[128];
    for (int gz = 0; gz < 2; gz++) {
        const char *dir = gz ? "gz" : "plain";
        put_idx_folder(dir, gz);
        put_idx(dir, c->which, gz, c->magic, c->sizes, c->more);
        refuse(at(dir), CLN_ERR_DATA, c->say);
        snprintf(name, sizeof name, "%s/%s%s", dir, IDX_NAMES[c->which], gz ? ".gz" : "");
        unlink(at(name));
        refuse(at(dir), CLN_ERR_IO, IDX_NAMES[c->which]);
    }
}
END_TEST

START_TEST(idx_bad_labels)
{
    char labels[20];
    put_idx_folder("f", false);
    size_t n = idx_header(labels, 0x801, 1, IDX_SIZES[0]);
    for (int i = 0; i < 12; i++)
        labels[n + (size_t)i] = (char)(i % 4);
    labels[n + 5] = (char)200;
    put("f/train-labels-idx1-ubyte", labels, n + 12);
    refuse(at("f"), CLN_ERR_DATA, "label is 200, but none is 4");
    memset(labels + n, 0, 12);
    put("f/train-labels-idx1-ubyte", labels, n + 12);
    refuse(at("f"), CLN_ERR_DATA, "all training labels are 0");
    put_idx_folder("f", false);
    n = idx_header(labels, 0x801, 1, IDX_SIZES[1]);
    memset(labels + n, 0, 6);
    labels[n + 3] = 4;
    put("f/t10k-labels-idx1-ubyte", labels, n + 6);
    refuse(at("f"), CLN_ERR_DATA, "t10k label 3 is 4, expected 0 to 3");
}
END_TEST

START_TEST(idx_damaged_gzip)
{
    put_idx_folder("f", true);
    blob b = get("f/train-images-idx3-ubyte.gz");
    b.bytes[b.size - 2] ^= 4;
    put("f/train-images-idx3-ubyte.gz", b.bytes, b.size);
    refuse(at("f"), CLN_ERR_DATA, "checksum");
    put("f/train-images-idx3-ubyte.gz", b.bytes, b.size / 2);
    refuse(at("f"), CLN_ERR_DATA, "train-images-idx3-ubyte.gz");
    put("f/train-images-idx3-ubyte.gz", "", 0);
    refuse(at("f"), CLN_ERR_DATA, "ends after 0 of 16 bytes of header");
    free(b.bytes);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("idx");
    TCase *good = tcase_create("read"), *bad = tcase_create("refused");
    tcase_add_checked_fixture(good, scratch_new, scratch_remove);
    tcase_add_checked_fixture(bad, scratch_new, scratch_remove);
    tcase_add_test(good, idx_plain_and_gzip_agree);
    tcase_add_loop_test(bad, idx_bad_files, 0, (int)(sizeof IDX_CASES / sizeof IDX_CASES[0]));
    tcase_add_test(bad, idx_bad_labels);
    tcase_add_test(bad, idx_damaged_gzip);
    suite_add_tcase(s, good);
    suite_add_tcase(s, bad);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}

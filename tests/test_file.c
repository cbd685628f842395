/* What the runtime asks of files: paths, whole reads, writes that happen or do not, hashes. */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/scratch.h"
#include "file.h"

#define OK(call) ck_assert_msg((call) == 0, "%s", err.text)

static cln_error err;

static void setup(void)
{
    memset(&err, 0, sizeof err);
    scratch_new();
}

static void failed(int rc, int code, const char *say)
{
    ck_assert_int_eq(rc, code);
    ck_assert_int_eq(err.code, code);
    ck_assert_msg(strstr(err.text, say) != NULL, "'%s' is not in: %s", say, err.text);
}

START_TEST(paths)
{
    char out[8];

    OK(cln_path_join(out, sizeof out, "a", "b", &err));
    ck_assert_str_eq(out, "a/b");
    OK(cln_path_join(out, sizeof out, "a/", "b", &err));
    ck_assert_str_eq(out, "a/b");
    OK(cln_path_join(out, sizeof out, "", "b", &err));
    ck_assert_str_eq(out, "b");
    OK(cln_path_join(out, sizeof out, "a", "/b", &err));
    ck_assert_str_eq(out, "/b");
    OK(cln_path_join(out, sizeof out, "abc", "def", &err));
    failed(cln_path_join(out, sizeof out, "abcd", "efg", &err), CLN_ERR_ARGUMENT, "too long");
}
END_TEST

START_TEST(folders)
{
    struct stat info;

    OK(cln_dir_make(at("a/b//c/"), &err));
    ck_assert_int_eq(stat(at("a/b/c"), &info), 0);
    ck_assert(S_ISDIR(info.st_mode));
    OK(cln_dir_make(at("a/b/c"), &err));
    put_text("file", "x");
    failed(cln_dir_make(at("file"), &err), CLN_ERR_IO, "a part of this path is a file");
    failed(cln_dir_make(at("file/d"), &err), CLN_ERR_IO, "a part of this path is a file");
    failed(cln_dir_make("", &err), CLN_ERR_ARGUMENT, "empty");
    holds_text("file", "x");
}
END_TEST

START_TEST(whole_reads)
{
    unsigned char *bytes = NULL;
    size_t n = 99;

    put_text("file", "12345");
    OK(cln_file_read_all(at("file"), 5, &bytes, &n, &err));
    ck_assert_uint_eq(n, 5);
    ck_assert_str_eq((char *)bytes, "12345");
    free(bytes);
    bytes = NULL;
    n = 99;
    failed(cln_file_read_all(at("file"), 4, &bytes, &n, &err), CLN_ERR_DATA, "too large");
    failed(cln_file_read_all(at("none"), 4, &bytes, &n, &err), CLN_ERR_IO, "cannot open");
    failed(cln_file_read_all(at(""), 4, &bytes, &n, &err), CLN_ERR_IO, "is a folder");
    ck_assert_int_eq(mkfifo(at("pipe"), 0600), 0);
    failed(cln_file_read_all(at("pipe"), 4, &bytes, &n, &err), CLN_ERR_IO, "device or pipe");
    ck_assert_ptr_null(bytes);
    ck_assert_uint_eq(n, 99);
}
END_TEST

START_TEST(atomic_writes)
{
    struct stat info;
    mode_t mask = umask(027);

    OK(cln_file_write_atomic(at("file"), "old", 3, &err));
    umask(mask);
    ck_assert_int_eq(stat(at("file"), &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0640); /* as any new file, not a temporary's 0600 */
    OK(cln_file_write_atomic(at("file"), "newer", 5, &err));
    holds_text("file", "newer");
    OK(cln_file_write_atomic(at("file"), "", 0, &err));
    holds_text("file", "");
    put_text("file", "old");

    static char big[100000];
    limit_files(50000);
    int rc = cln_file_write_atomic(at("file"), big, sizeof big, &err);
    limit_files(RLIM_INFINITY);
    failed(rc, CLN_ERR_IO, "ulimit -f");
    holds_text("file", "old");

    failed(cln_file_write_atomic(at("none/file"), "x", 1, &err), CLN_ERR_IO, "No such file");
    failed(cln_file_write_atomic(at("file/below"), "x", 1, &err), CLN_ERR_IO, "is a file");
    failed(cln_file_write_atomic(at("dir/"), "x", 1, &err), CLN_ERR_ARGUMENT, "names a folder");
    ck_assert_int_eq(mkdir(at("dir"), 0777), 0);
    failed(cln_file_write_atomic(at("dir"), "x", 1, &err), CLN_ERR_IO, "cannot replace");
    failed(cln_file_try(at("dir"), &err), CLN_ERR_IO, "Is a directory");
    failed(cln_file_try(at("none/file"), &err), CLN_ERR_IO, "No such file");
    OK(cln_file_try(at("file"), &err));
    holds_text("file", "old");
    OK(cln_file_try(at("new"), &err));
    ck_assert(!cln_file_exists(at("new")));
    ck_assert_int_eq(rmdir(at("dir")), 0);
    ck_assert_int_eq(unlink(at("file")), 0);
    ck_assert_msg(rmdir(at("")) == 0, "a temporary file was left");
    scratch_new(); /* for the teardown */
}
END_TEST

START_TEST(appended_lines)
{
    char longer[5000];

    OK(cln_file_append_line(at("log"), "one", &err));
    OK(cln_file_append_line(at("log"), "two", &err));
    holds_text("log", "one\ntwo\n");
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    limit_files(4096); /* the line fits in part: that part is taken back */
    int rc = cln_file_append_line(at("log"), longer, &err);
    limit_files(RLIM_INFINITY);
    failed(rc, CLN_ERR_IO, "log");
    holds_text("log", "one\ntwo\n");
    failed(cln_file_append_line(at("none/log"), "x", &err), CLN_ERR_IO, "cannot append");
    failed(cln_file_append_line(at(""), "x", &err), CLN_ERR_IO, "cannot append");
}
END_TEST

START_TEST(hashes) /* FIPS 180-2's examples */
{
    char hex[CLN_SHA256_HEX];

    OK(cln_sha256_hex("abc", 3, hex, &err));
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    OK(cln_sha256_hex("", 0, hex, &err));
    ck_assert_str_eq(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
END_TEST

START_TEST(temporary_names)
{
    ck_assert(cln_file_is_temporary_of(".a.json.123-0.tmp", "a.json"));
    ck_assert(!cln_file_is_temporary_of("a.json", "a.json"));
    ck_assert(!cln_file_is_temporary_of(".a.json.123-0.tmp", "a"));
    ck_assert(!cln_file_is_temporary_of(".a.json.123-0.tmp~", "a.json"));
    ck_assert(!cln_file_is_temporary_of(".a.json.-0.tmp", "a.json"));
    ck_assert(!cln_file_is_temporary_of(".a.json.1-.tmp", "a.json"));
    ck_assert(!cln_file_is_temporary_of(".a.json.x-0.tmp", "a.json"));
    ck_assert(!cln_file_is_temporary_of(".a.json", "a.json"));
}
END_TEST

/* A link keeps its name and gets its target replaced; what is no file is left alone, though root could replace it. */
START_TEST(links_and_devices)
{
    struct stat info;

    put_text("target", "old");
    ck_assert_int_eq(symlink("target", at("link")), 0);
    OK(cln_file_write_atomic(at("link"), "new", 3, &err));
    holds_text("target", "new");
    ck_assert_int_eq(lstat(at("link"), &info), 0);
    ck_assert(S_ISLNK(info.st_mode));
    ck_assert_int_eq(mkfifo(at("pipe"), 0600), 0);
    failed(cln_file_write_atomic(at("pipe"), "x", 1, &err), CLN_ERR_IO, "a device or a pipe");
    ck_assert_int_eq(lstat(at("pipe"), &info), 0);
    ck_assert(S_ISFIFO(info.st_mode));
    failed(cln_file_write_atomic("/dev/null", "x", 1, &err), CLN_ERR_IO, "a device or a pipe");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("file");
    TCase *t = tcase_create("file");
    tcase_add_checked_fixture(t, setup, scratch_remove);
    tcase_add_test(t, paths);
    tcase_add_test(t, folders);
    tcase_add_test(t, whole_reads);
    tcase_add_test(t, atomic_writes);
    tcase_add_test(t, links_and_devices);
    tcase_add_test(t, appended_lines);
    tcase_add_test(t, hashes);
    tcase_add_test(t, temporary_names);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failures = srunner_ntests_failed(r);
    srunner_free(r);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}

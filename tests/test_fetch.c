/* Downloads from a small HTTP server on the loopback address: whole, continued, and every way to
 * fail. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/scratch.h"
#include "error.h"
#include "fetch.h"

enum { SIZE = 300000, HALF = SIZE / 2 };
static const char NAME[] = "cifar-10-binary.tar.gz", PART[] = "cifar-10-binary.tar.gz.part";

static char file[SIZE], md5[33];
static int port;
static pid_t server;

/* ---- the server ------------------------------------------------------------------------- */

static void send_all(int to, const char *bytes, size_t n)
{
    while (n) {
        ssize_t k = send(to, bytes, n, MSG_NOSIGNAL);
        if (k <= 0)
            return;
        bytes += k;
        n -= (size_t)k;
    }
}

static void answer(int to, const char *status, const char *more, const char *body, size_t n,
                   size_t sent)
{
    char head[512];
    int len = snprintf(head, sizeof head,
                       "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%sConnection: close\r\n\r\n", status,
                       n, more);
    send_all(to, head, (size_t)len);
    send_all(to, body, sent);
}

static bool is_for(const char *request, const char *path)
{
    size_t n = strlen(path);
    return !strncmp(request, "GET ", 4) && !strncmp(request + 4, path, n) && request[4 + n] == ' ';
}

/* What the path asks for. The range is honoured but for /ignore-range; /rest has nothing without
 * one. */
static void serve(int to, const char *request)
{
    static char wrong[SIZE];
    char more[128] = "";
    const char *range = strstr(request, "Range: bytes="), *status = "200 OK";
    size_t from = range ? strtoul(range + 13, NULL, 10) : 0;

    if (is_for(request, "/ignore-range"))
        from = 0;
    if (from >= SIZE) {
        answer(to, "416 Range Not Satisfiable", "", "", 0, 0);
        return;
    }
    if (from) {
        status = "206 Partial Content";
        snprintf(more, sizeof more, "Content-Range: bytes %zu-%d/%d\r\n", from, SIZE - 1, SIZE);
    }
    if (is_for(request, "/file") || is_for(request, "/ignore-range") ||
        (is_for(request, "/rest") && from))
        answer(to, status, more, file + from, SIZE - from, SIZE - from);
    else if (is_for(request, "/cut"))
        answer(to, status, more, file + from, SIZE - from, (SIZE - from) / 2);
    else if (is_for(request, "/wrong"))
        answer(to, status, more, wrong + from, SIZE - from, SIZE - from);
    else if (is_for(request, "/moved"))
        answer(to, "302 Found", "Location: /file\r\n", "", 0, 0);
    else if (is_for(request, "/busy"))
        answer(to, "503 Service Unavailable", "", "later", 5, 5);
    else
        answer(to, "404 Not Found", "", "none", 4, 4);
}

static void serve_for_ever(int listener)
{
    for (;;) {
        char request[4096] = "";
        size_t n = 0;
        int to = accept(listener, NULL, NULL);
        while (to >= 0 && n < sizeof request - 1 && !strstr(request, "\r\n\r\n")) {
            ssize_t k = recv(to, request + n, sizeof request - 1 - n, 0);
            if (k <= 0)
                break;
            n += (size_t)k;
            request[n] = '\0';
        }
        serve(to, request);
        shutdown(to, SHUT_WR);
        close(to);
    }
}

/* A listening socket on a free port of the loopback address. */
static int listen_somewhere(int *on_port)
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    socklen_t n = sizeof here;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(s, 0);
    ck_assert_int_eq(bind(s, (struct sockaddr *)&here, sizeof here), 0);
    ck_assert_int_eq(listen(s, 8), 0);
    ck_assert_int_eq(getsockname(s, (struct sockaddr *)&here, &n), 0);
    *on_port = ntohs(here.sin_port);
    return s;
}

static void setup(void)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    uint32_t x = 1;
    for (int i = 0; i < SIZE; i++)
        file[i] = (char)((x = x * 1664525u + 1013904223u) >> 24);
    ck_assert(EVP_Digest(file, SIZE, sum, NULL, EVP_md5(), NULL));
    for (int i = 0; i < 16; i++)
        snprintf(md5 + 2 * i, 3, "%02x", sum[i]);
    setenv("no_proxy", "127.0.0.1", 1);
    scratch_new();
    int listener = listen_somewhere(&port);
    server = fork();
    ck_assert_int_ge(server, 0);
    if (!server) {
        alarm(120); /* should the test be killed */
        serve_for_ever(listener);
    }
    close(listener);
}

static void teardown(void)
{
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    scratch_remove();
}

/* ---- helpers ---------------------------------------------------------------------------- */

static int fetch(const char *path, cln_fetch_result *res, cln_error *err)
{
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", port, path);
    cln_fetch_options o = {.url = url, .md5 = md5, .dir = at("")};
    memset(err, 0, sizeof *err);
    return cln_fetch(&o, res, err);
}

static void check_file(const cln_fetch_result *res)
{
    ck_assert_str_eq(res->path, at(NAME));
    blob b = get(NAME);
    ck_assert_uint_eq(b.size, SIZE);
    ck_assert_uint_eq(res->bytes, SIZE);
    ck_assert_mem_eq(b.bytes, file, SIZE);
    free(b.bytes);
    ck_assert_int_ne(access(at(PART), F_OK), 0);
}

static void check_fetch(const char *path, uint64_t resumed_from)
{
    cln_fetch_result res;
    cln_error err;
    int rc = fetch(path, &res, &err);
    ck_assert_msg(!rc, "%s: %s", path, err.text);
    ck_assert_uint_eq(res.resumed_from, resumed_from);
    ck_assert(!res.present);
    check_file(&res);
    ck_assert_int_eq(unlink(at(NAME)), 0);
}

static void check_refused(const char *path, int code, const char *say)
{
    cln_fetch_result res;
    cln_error err;
    ck_assert_int_eq(fetch(path, &res, &err), code);
    ck_assert_msg(strstr(err.text, say) != NULL, "\"%s\" does not say \"%s\"", err.text, say);
    ck_assert_ptr_null(strchr(err.text, '\n'));
}

static long part_size(void)
{
    struct stat st;
    return stat(at(PART), &st) ? -1 : (long)st.st_size;
}

/* ---- what works ------------------------------------------------------------------------- */

START_TEST(whole)
{
    cln_fetch_result res;
    cln_error err;
    check_fetch("/file", 0);
    check_fetch("/moved", 0);
    ck_assert_int_eq(fetch("/file", &res, &err), 0);
    ck_assert_int_eq(fetch("/missing", &res, &err), 0); /* there already: the server is not asked */
    ck_assert(res.present);
    check_file(&res);
}
END_TEST

START_TEST(continued)
{
    check_refused("/cut", CLN_ERR_NETWORK, "run it again to continue");
    ck_assert_int_eq(part_size(), HALF);
    ck_assert_int_ne(access(at(NAME), F_OK), 0);
    check_refused("/missing", CLN_ERR_NETWORK, "404"); /* keeps what is there */
    ck_assert_int_eq(part_size(), HALF);
    check_fetch("/rest", HALF);
    check_refused("/rest", CLN_ERR_NETWORK, "404"); /* and it did ask for the rest alone */
}
END_TEST

/* The beginning may be of another file, too long, or all there is. */
START_TEST(odd_parts)
{
    static const char zeros[SIZE + 1];
    put(PART, zeros, HALF);
    check_fetch("/file", 0);
    put(PART, zeros, SIZE + 1);
    check_fetch("/file", 0);
    put(PART, file, SIZE);
    check_fetch("/file", SIZE);
    put(PART, "", 0);
    check_fetch("/file", 0);
}
END_TEST

START_TEST(makes_folders)
{
    char url[64];
    cln_fetch_result res;
    cln_error err = {0};
    const char *set = getenv("XDG_CACHE_HOME");
    char *old = set ? strdup(set) : NULL;
    snprintf(url, sizeof url, "http://127.0.0.1:%d/file", port);
    cln_fetch_options o = {.url = url, .md5 = md5}; /* no folder: the cache's */
    setenv("XDG_CACHE_HOME", at("a/b"), 1);
    int rc = cln_fetch(&o, &res, &err);
    if (old)
        setenv("XDG_CACHE_HOME", old, 1);
    else
        unsetenv("XDG_CACHE_HOME");
    free(old);
    ck_assert_msg(!rc, "%s", err.text);
    ck_assert_str_eq(res.path, at("a/b/clnorm/data/cifar-10-binary.tar.gz"));
    ck_assert_int_eq(access(res.path, R_OK), 0);
}
END_TEST

typedef struct watch {
    uint64_t done, total, most, stop_at;
    bool back;
} watch;

static int watch_progress(void *user, uint64_t done, uint64_t total)
{
    watch *w = user;
    w->back = w->back || done < w->done;
    w->done = done;
    w->most = done > w->most ? done : w->most;
    w->total = total;
    return done >= w->stop_at;
}

START_TEST(progress_and_stop)
{
    char url[64];
    cln_fetch_result res;
    cln_error err = {0};
    watch w = {.stop_at = 1000};
    snprintf(url, sizeof url, "http://127.0.0.1:%d/cut", port);
    cln_fetch_options o = {url, md5, at(""), watch_progress, &w};
    ck_assert_int_eq(cln_fetch(&o, &res, &err), CLN_ERR_NETWORK);
    ck_assert_ptr_nonnull(strstr(err.text, "was stopped"));
    ck_assert_int_gt(part_size(), 0);
    w = (watch){.stop_at = UINT64_MAX};
    snprintf(url, sizeof url, "http://127.0.0.1:%d/rest", port);
    ck_assert_msg(!cln_fetch(&o, &res, &err), "%s", err.text);
    ck_assert_uint_eq(w.total, SIZE); /* of the file, not of the rest */
    ck_assert_uint_eq(w.done, SIZE);
    ck_assert(!w.back);
    check_file(&res);
}
END_TEST

/* The server sends everything again: the beginning is dropped at once, not found out by the sum. */
START_TEST(continued_without_ranges)
{
    char url[64];
    cln_fetch_result res;
    cln_error err = {0};
    watch w = {.stop_at = UINT64_MAX};
    put(PART, file, HALF);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/ignore-range", port);
    cln_fetch_options o = {url, md5, at(""), watch_progress, &w};
    ck_assert_msg(!cln_fetch(&o, &res, &err), "%s", err.text);
    ck_assert_uint_eq(res.resumed_from, 0);
    ck_assert_uint_eq(w.most, SIZE);
    check_file(&res);
}
END_TEST

/* The program's exit status, its output in "out". */
static int run(const char *path, const char *sum)
{
    char command[2048];
    snprintf(command, sizeof command,
             "'%s' fetch --url http://127.0.0.1:%d%s --md5 %s --dir '%s' >'%s' 2>&1",
             CLNORM_PROGRAM, port, path, sum, at("program"), at("out"));
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

START_TEST(program)
{
    ck_assert_int_eq(run("/file", md5), 0);
    blob b = get("out");
    b.bytes[b.size] = '\0';
    ck_assert_ptr_nonnull(strstr(b.bytes, "MD5 sum is right"));
    ck_assert_ptr_nonnull(strstr(b.bytes, "100 %"));
    ck_assert_ptr_nonnull(strstr(b.bytes, at("program/cifar-10-binary.tar.gz")));
    free(b.bytes);
    ck_assert_int_eq(run("/file", "c32a"), 2);
    ck_assert_int_eq(run("/missing", "00000000000000000000000000000000"), 2 - CLN_ERR_NETWORK);
    ck_assert_int_eq(run("/wrong", "00000000000000000000000000000000"), 2 - CLN_ERR_DATA);
    ck_assert_int_eq(access(at("program/cifar-10-binary.tar.gz"), R_OK), 0);
}
END_TEST

/* ---- what fails ------------------------------------------------------------------------- */

START_TEST(wrong_sum)
{
    check_refused("/wrong", CLN_ERR_DATA, md5);
    ck_assert_int_eq(part_size(), -1);
    ck_assert_int_ne(access(at(NAME), F_OK), 0);
    /* An earlier file of that name is not touched; a continued download is tried anew, then
     * removed. */
    put(NAME, "mine", 4);
    put(PART, file, HALF);
    check_refused("/wrong", CLN_ERR_DATA, "the download was removed");
    ck_assert_int_eq(part_size(), -1);
    blob b = get(NAME);
    ck_assert_uint_eq(b.size, 4);
    free(b.bytes);
    check_fetch("/file", 0); /* and replaced by the right one */
}
END_TEST

START_TEST(server_says_no)
{
    check_refused("/missing", CLN_ERR_NETWORK, "404 (not found)");
    ck_assert_int_eq(part_size(), -1);
    check_refused("/busy", CLN_ERR_NETWORK, "503");
    ck_assert_int_eq(part_size(), -1);
}
END_TEST

START_TEST(nobody_there)
{
    int was = port, s = listen_somewhere(&port);
    close(s);
    check_refused("/file", CLN_ERR_NETWORK, "127.0.0.1");
    ck_assert_int_eq(part_size(), -1);
    port = was;
}
END_TEST

/* A limit on the size of files stands in for a full disk. */
START_TEST(disk_full)
{
    struct rlimit old, small;
    cln_fetch_result res;
    cln_error err;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 100000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rc = fetch("/file", &res, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    ck_assert_int_eq(rc, CLN_ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, PART));
    ck_assert_ptr_nonnull(strstr(err.text, strerror(EFBIG)));
    ck_assert_int_eq(part_size(), 100000);
    check_fetch("/rest", 100000); /* room again: it goes on */
}
END_TEST

START_TEST(busy_folder)
{
    put(PART, file, HALF);
    FILE *f = fopen(at(PART), "rb");
    ck_assert_int_eq(flock(fileno(f), LOCK_EX), 0);
    check_refused("/file", CLN_ERR_BUSY, "another clnorm fetch");
    fclose(f);
    ck_assert_int_eq(part_size(), HALF);
    check_fetch("/rest", HALF);
}
END_TEST

START_TEST(bad_arguments)
{
    static const char *const sums[4] = {"", "c32a", "c32a1d4ab5d03f1284b67883e8d8753g",
                                        "c32a1d4ab5d03f1284b67883e8d875300"};
    static const char *const urls[4] = {"", "file:///etc/hostname", "cs.toronto.edu", "http://"};
    cln_fetch_result res;
    for (int i = 0; i < 4; i++) {
        cln_error err = {0};
        cln_fetch_options o = {.url = "http://127.0.0.1/", .md5 = sums[i], .dir = at("")};
        ck_assert_int_eq(cln_fetch(&o, &res, &err), CLN_ERR_ARGUMENT);
        o.md5 = md5;
        o.url = urls[i];
        ck_assert_int_eq(cln_fetch(&o, &res, &err), CLN_ERR_ARGUMENT);
        ck_assert_ptr_nonnull(strstr(err.text, "http or https"));
    }
    cln_error err = {0};
    put("taken", "x", 1);
    cln_fetch_options o = {.url = "http://127.0.0.1/", .md5 = md5, .dir = at("taken")};
    ck_assert_int_eq(cln_fetch(&o, &res, &err), CLN_ERR_IO);
    o.dir = at("taken/below");
    ck_assert_int_eq(cln_fetch(&o, &res, &err), CLN_ERR_IO);
    o.dir = "";
    ck_assert_int_eq(cln_fetch(&o, &res, &err), CLN_ERR_ARGUMENT);
    ck_assert_int_eq(part_size(), -1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fetch");
    TCase *good = tcase_create("works"), *bad = tcase_create("fails");
    tcase_add_checked_fixture(good, setup, teardown);
    tcase_add_checked_fixture(bad, setup, teardown);
    tcase_add_test(good, whole);
    tcase_add_test(good, continued);
    tcase_add_test(good, continued_without_ranges);
    tcase_add_test(good, odd_parts);
    tcase_add_test(good, makes_folders);
    tcase_add_test(good, progress_and_stop);
    tcase_add_test(good, program);
    tcase_add_test(bad, wrong_sum);
    tcase_add_test(bad, server_says_no);
    tcase_add_test(bad, nobody_there);
    tcase_add_test(bad, disk_full);
    tcase_add_test(bad, busy_folder);
    tcase_add_test(bad, bad_arguments);
    suite_add_tcase(s, good);
    suite_add_tcase(s, bad);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}

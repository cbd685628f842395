/* The process that compiles ahead: it works if it is told to, and is gone in the end whatever it does. */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/ahead.h"

static atomic_int *board; /* shared by both processes: 0, then what the work says */

static void setup(void)
{
    /* cppcheck-suppress invalidFunctionArg ; -1 is what the call wants beside MAP_ANONYMOUS */
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(board, MAP_FAILED);
    atomic_store(board, 0);
}

static void teardown(void) { munmap((void *)board, sizeof *board); }

static void say_and_print(void *arg)
{
    printf("this is seen by nobody\n");
    fflush(stdout);
    atomic_store(board, *(const int *)arg);
}

static void never_end(void *arg)
{
    say_and_print(arg);
    for (;;)
        pause();
}

static void abort_at_once(void *arg)
{
    atomic_store(board, *(const int *)arg);
    abort();
}

static void wait_for(int value)
{
    for (int i = 0; i < 2000 && atomic_load(board) != value; i++)
        usleep(5000);
    ck_assert_int_eq(atomic_load(board), value);
}

static void nobody_left(void)
{
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
}

START_TEST(told_to_work)
{
    void (*const works[])(void *) = {say_and_print, never_end, abort_at_once};
    cln_ahead a = {0};
    int value = 7 + _i;
    cln_ahead_start(&a, works[_i], &value);
    ck_assert_int_gt(a.pid, 0);
    cln_ahead_tell(&a, true);
    cln_ahead_tell(&a, false); /* it was told already */
    wait_for(value);
    cln_ahead_end(&a);
    nobody_left();
    cln_ahead_end(&a);
}
END_TEST

START_TEST(told_not_to)
{
    cln_ahead a = {0};
    int value = 3;
    cln_ahead_start(&a, say_and_print, &value);
    cln_ahead_tell(&a, false);
    nobody_left();
    cln_ahead_tell(&a, true);
    cln_ahead_end(&a);
    cln_ahead_start(&a, say_and_print, &value); /* or told nothing at all */
    cln_ahead_end(&a);
    nobody_left();
    ck_assert_int_eq(atomic_load(board), 0);
}
END_TEST

START_TEST(killed_before_it_is_told)
{
    cln_ahead a = {0};
    int value = 3;
    cln_ahead_start(&a, say_and_print, &value);
    kill(a.pid, SIGKILL);
    usleep(100000);
    cln_ahead_tell(&a, true);
    cln_ahead_end(&a);
    nobody_left();
}
END_TEST

START_TEST(never_started)
{
    cln_ahead a = {0};
    cln_ahead_tell(&a, true);
    cln_ahead_end(&a);
    nobody_left();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ahead");
    TCase *tc = tcase_create("process");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, told_to_work, 0, 3);
    tcase_add_test(tc, told_not_to);
    tcase_add_test(tc, killed_before_it_is_told);
    tcase_add_test(tc, never_started);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

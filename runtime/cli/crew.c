#include "crew.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

static size_t board_size(int n_runs) { return sizeof(cln_board) + (size_t)n_runs * sizeof *((cln_board *)0)->runs; }

int cln_board_new(int n_runs, cln_board **out, cln_error *err)
{
    /* cppcheck-suppress invalidFunctionArg ; -1 is what the call wants beside MAP_ANONYMOUS */
    cln_board *b = mmap(NULL, board_size(n_runs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (b == MAP_FAILED)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to share among processes: %s", strerror(errno));
    for (int i = 0; i < n_runs; i++)
        b->runs[i].seconds = NAN;
    *out = b;
    return CLN_OK;
}

void cln_board_free(cln_board *board, int n_runs)
{
    if (board)
        munmap(board, board_size(n_runs));
}

/* PoCL's names, the first one up to its version 4. Other drivers have none and share out time. */
static void use_cores(int cores)
{
    char text[16];
    snprintf(text, sizeof text, "%d", cores);
    setenv("POCL_MAX_PTHREAD_COUNT", text, 1);
    setenv("POCL_CPU_MAX_CU_COUNT", text, 1);
}

int cln_crew_start(cln_board *board, int k, int cores, int (*work)(void *arg, cln_member *m), void *arg, cln_error *err)
{
    cln_member *m = &board->members[k];
    const pid_t parent = getpid();
    fflush(stdout); /* or both print what is there */
    const pid_t pid = fork();
    if (pid < 0)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "cannot start another process: %s; a smaller --jobs may help", strerror(errno));
    if (pid > 0) {
        m->pid = pid;
        return CLN_OK;
    }
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    if (getppid() != parent) /* it ended before that */
        _exit(1);
    if (cores > 0)
        use_cores(cores);
    m->rc = work(arg, m);
    fflush(stdout);
    _exit(0);
}

bool cln_crew_runs(cln_board *board, int k, bool wait)
{
    cln_member *m = &board->members[k];
    int status = 0;
    pid_t ended = 0;
    if (m->pid == 0)
        return false;
    do
        ended = waitpid(m->pid, &status, wait ? 0 : WNOHANG);
    while (ended < 0 && errno == EINTR);
    if (ended == 0)
        return true;
    m->pid = 0;
    atomic_store(&m->permille, 0); /* one that was killed cannot say so */
    atomic_store(&m->images_per_second, 0);
    if (ended > 0 && WIFSIGNALED(status))
        m->rc = CLN_FAIL(&m->err, CLN_ERR_INTERNAL,
                         "a process that trains was ended by signal %d (%s); the same command goes on%s", WTERMSIG(status),
                         strsignal(WTERMSIG(status)),
                         WTERMSIG(status) == SIGKILL ? ", and with a smaller --jobs it takes less memory" : "");
    else if (ended < 0)
        m->rc = CLN_FAIL(&m->err, CLN_ERR_INTERNAL, "how a process that trains ended is not known: %s", strerror(errno));
    else if (WEXITSTATUS(status) != 0 && !m->rc)
        m->rc = CLN_FAIL(&m->err, CLN_ERR_INTERNAL, "a process that trains ended early, with status %d; the same command goes on",
                         WEXITSTATUS(status));
    return false;
}

#include "ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

/* The other process: waits, perhaps works, never returns. */
static void listen_and_work(int word, pid_t parent, void (*work)(void *arg), void *arg)
{
    char go = 0;
    const int nowhere = open("/dev/null", O_RDWR);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    if (nowhere >= 0 && getppid() == parent && dup2(nowhere, STDOUT_FILENO) >= 0 && dup2(nowhere, STDERR_FILENO) >= 0) {
        ssize_t n;
        do
            n = read(word, &go, 1);
        while (n < 0 && errno == EINTR);
        if (n == 1)
            work(arg);
    }
    _exit(0);
}

void cln_ahead_start(cln_ahead *a, void (*work)(void *arg), void *arg)
{
    int ends[2];
    const pid_t parent = getpid();
    a->pid = 0;
    if (pipe(ends) != 0)
        return;
    fflush(stdout); /* or both print what is there */
    const pid_t pid = fork();
    if (pid == 0) {
        close(ends[1]);
        listen_and_work(ends[0], parent, work, arg);
    }
    close(ends[0]);
    if (pid < 0) {
        close(ends[1]);
        return;
    }
    fcntl(ends[1], F_SETFD, FD_CLOEXEC); /* a compiler that the driver starts must not keep it open */
    a->pid = pid;
    a->word = ends[1];
}

static void reap(cln_ahead *a)
{
    while (waitpid(a->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    a->pid = 0;
}

void cln_ahead_tell(cln_ahead *a, bool go)
{
    if (a->pid == 0 || a->word < 0)
        return;
    /* Nobody is hurt if it was killed meanwhile, not even by SIGPIPE. */
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    const bool told = go && write(a->word, "1", 1) == 1;
    signal(SIGPIPE, before);
    close(a->word);
    a->word = -1;
    if (!told)
        reap(a);
}

void cln_ahead_end(cln_ahead *a)
{
    cln_ahead_tell(a, false);
    if (a->pid == 0)
        return;
    kill(a->pid, SIGKILL);
    reap(a);
}

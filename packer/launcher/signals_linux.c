/*
 * Linux: catching signals; the handler only stores the number; see signals.h.
 */
#include "launcher.h"
#include "signals.h"

#include <signal.h>
#include <stdatomic.h>

enum { NUM_CAUGHT = 3 };
static const int caught_signals[NUM_CAUGHT] = {SIGHUP, SIGINT, SIGTERM};
static struct sigaction previous[NUM_CAUGHT];
static struct sigaction previous_pipe;
static atomic_int pending_signal;

static void remember(int number)
{
    int expected = 0;
    atomic_compare_exchange_strong(&pending_signal, &expected, number);
}

void signals_catch(void)
{
    struct sigaction action = {.sa_handler = remember, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < NUM_CAUGHT; i++) {
        sigaction(caught_signals[i], NULL, &previous[i]);
        if (previous[i].sa_handler != SIG_IGN) { /* as under nohup: stays ignored */
            sigaction(caught_signals[i], &action, NULL);
        }
    }
    struct sigaction ignore = {.sa_handler = SIG_IGN}; /* a closed stderr must not kill us half-way */
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGPIPE, &ignore, &previous_pipe);
}

void signals_release(void)
{
    for (int i = 0; i < NUM_CAUGHT; i++) {
        sigaction(caught_signals[i], &previous[i], NULL);
    }
    sigaction(SIGPIPE, &previous_pipe, NULL);
}

int signals_pending(void)
{
    return atomic_load(&pending_signal);
}

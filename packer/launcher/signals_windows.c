/*
 * Windows: Ctrl-C, Ctrl-Break, closing the window and logging off set a flag; see signals.h.
 */
#include "launcher.h"
#include "signals.h"
#include "wide_windows.h"

#include <signal.h>
#include <stdatomic.h>

enum { CLEAN_UP_MS = 4500, WINDOW_CLOSED = 1, TERMINATED = 15 }; /* Windows waits five seconds, then kills */

static atomic_int pending_signal;
static atomic_bool catching;

static BOOL WINAPI remember(DWORD event)
{
    bool is_key = event == CTRL_C_EVENT || event == CTRL_BREAK_EVENT;
    int expected = 0;
    int number = is_key ? SIGINT : event == CTRL_CLOSE_EVENT ? WINDOW_CLOSED : TERMINATED;
    atomic_compare_exchange_strong(&pending_signal, &expected, number);
    for (int waited_ms = 0; !is_key && atomic_load(&catching) && waited_ms < CLEAN_UP_MS; waited_ms += 10) {
        Sleep(10); /* returning would end the process before it has cleaned up */
    }
    return TRUE;
}

void signals_catch(void)
{
    atomic_store(&catching, true);
    SetConsoleCtrlHandler(remember, TRUE);
}

void signals_release(void)
{
    SetConsoleCtrlHandler(remember, FALSE);
    atomic_store(&catching, false);
}

int signals_pending(void)
{
    return atomic_load(&pending_signal);
}

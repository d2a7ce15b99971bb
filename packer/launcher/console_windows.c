/*
 * Windows: the console window; see console_windows.h.
 */
#include "console_windows.h"
#include "platform.h"
#include "wide_windows.h"

#include <conio.h>
#include <signal.h>
#include <string.h>

#define STATUS_CONTROL_C 0xC000013AUL

bool console_is_windowed(void)
{
    const uint8_t *image = (const uint8_t *)GetModuleHandleW(NULL);
    const IMAGE_DOS_HEADER *dos = (const IMAGE_DOS_HEADER *)image;
    const IMAGE_NT_HEADERS64 *headers = (const IMAGE_NT_HEADERS64 *)(image + dos->e_lfanew);
    return headers->OptionalHeader.Subsystem == IMAGE_SUBSYSTEM_WINDOWS_GUI;
}

/* Whether the console was made for us: its window closes when we end. */
static bool console_is_ours(void)
{
    DWORD processes[2];
    DWORD mode;
    return GetConsoleProcessList(processes, 2) == 1 && GetConsoleMode(GetStdHandle(STD_INPUT_HANDLE), &mode);
}

void console_pause_after(unsigned long exit_code)
{
    static const char text[] = "Press any key to close this window.\n";
    bool interrupted = exit_code == STATUS_CONTROL_C || exit_code == EXIT_CODE_SIGNAL + SIGINT;
    if (exit_code != 0 && !interrupted && console_is_ours()) {
        platform_write_error(text, sizeof text - 1);
        _getch();
    }
}

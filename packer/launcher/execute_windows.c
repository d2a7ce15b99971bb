/*
 * Windows: the runtime as a child process that ends when we end, and whose exit code becomes ours; see execute.h.
 */
#include "launcher.h"
#include "execute.h"
#include "console_windows.h"
#include "disk.h"
#include "wide_windows.h"

#include <stdlib.h>
#include <string.h>

#define PROGRAM_NAME "chat.exe"
#define RESTART_TEXT_BYTES 4096

static bool set_variable(const wchar_t *name, const char *value, struct failure *failure)
{
    wchar_t *wide = wide_from_utf8(value);
    bool done = SetEnvironmentVariableW(name, wide);
    disk_error error = done ? 0 : (disk_error)GetLastError();
    free(wide);
    return done || fail(failure, FAILURE_MACHINE, "can't set an environment variable: %s", disk_error_text(error));
}

static bool set_environment(const struct bundle *bundle, const char *runtime_path, struct failure *failure)
{
    /* Started by another PyInstaller program, our bootloader must not take itself for a part of that one. */
    if (GetEnvironmentVariableW(L"_PYI_ARCHIVE_FILE", NULL, 0) != 0 &&
        !set_variable(L"PYINSTALLER_RESET_ENVIRONMENT", "1", failure)) {
        return false;
    }
    SetEnvironmentVariableW(L"PACKER_WINDOWED", console_is_windowed() ? L"1" : NULL);
    char *bundle_path = utf8_usable_path(bundle->path);
    char *entry_path = utf8_usable_path(runtime_path);
    char *times = clock_text();
    bool done = set_variable(L"PACKER_BUNDLE", bundle_path, failure) &&
                set_variable(L"PACKER_CACHE_ENTRY", entry_path, failure) &&
                set_variable(L"PACKER_STARTED_MS", times, failure);
    free(times);
    free(bundle_path);
    free(entry_path);
    return done;
}

/* A job kills what is in it when its last handle closes: when we are killed, the runtime goes too. */
static HANDLE make_job(void)
{
    HANDLE job = CreateJobObjectW(NULL, NULL);
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    limits.BasicLimitInformation.LimitFlags =
        JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK;
    if (job != NULL) {
        SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
    }
    return job;
}

/* Ctrl-C and closing the window are for the runtime, which shares our console; we wait for its end. */
static BOOL WINAPI leave_to_runtime(DWORD event)
{
    if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) {
        Sleep(INFINITE); /* returning would end us, and with us the runtime, before it has cleaned up */
    }
    return TRUE;
}

/* What the runtime writes here, it wants to find in its environment when it is started once more: see execute.h. */
struct restart_pipe {
    HANDLE read;
    HANDLE write;
};

/* Without a pipe the runtime is just not started again. */
static struct restart_pipe make_restart_pipe(void)
{
    struct restart_pipe pipe = {NULL, NULL};
    if (CreatePipe(&pipe.read, &pipe.write, NULL, RESTART_TEXT_BYTES) &&
        SetHandleInformation(pipe.write, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT)) {
        wchar_t number[24];
        swprintf(number, sizeof number / sizeof *number, L"%llu", (unsigned long long)(uintptr_t)pipe.write);
        SetEnvironmentVariableW(L"PACKER_RESTART_PIPE", number);
    }
    return pipe;
}

/* Whether the runtime, which has ended, wants to be started again; its words are in the environment then. */
static bool wants_restart(struct restart_pipe pipe)
{
    char text[RESTART_TEXT_BYTES + 1];
    DWORD available = 0;
    DWORD size = 0;
    if (pipe.read == NULL || !PeekNamedPipe(pipe.read, NULL, 0, NULL, &available, NULL) || available == 0 ||
        available > RESTART_TEXT_BYTES || !ReadFile(pipe.read, text, available, &size, NULL)) {
        return false;
    }
    text[size] = '\0';
    wchar_t *wide = wide_from_utf8(text);
    bool done = SetEnvironmentVariableW(L"PACKER_RESTART", wide);
    free(wide);
    SetEnvironmentVariableW(L"PACKER_RESTART_PIPE", NULL); /* once is enough */
    return done;
}

/* Start the program with our own command line, suspended until it is in the job. */
static bool start(const wchar_t *program, PROCESS_INFORMATION *child)
{
    STARTUPINFOW startup = {.cb = sizeof startup};
    GetStartupInfoW(&startup); /* standard handles and how the window is to be shown */
    startup.lpReserved = NULL;
    startup.lpReserved2 = NULL;
    startup.cbReserved2 = 0;
    startup.dwFlags |= STARTF_USESTDHANDLES;
    startup.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
    startup.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
    startup.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    wchar_t *command = _wcsdup(GetCommandLineW()); /* CreateProcessW may write to it */
    DWORD flags = CREATE_SUSPENDED | (console_is_windowed() ? CREATE_NO_WINDOW : 0);
    bool done = CreateProcessW(program, command, NULL, NULL, TRUE, flags, NULL, NULL, &startup, child);
    DWORD error = GetLastError();
    free(command);
    SetLastError(error);
    return done;
}

/* Run the program to its end; false when it can't be started. */
static bool run(const wchar_t *program, HANDLE job, DWORD *exit_code)
{
    PROCESS_INFORMATION child = {0};
    if (!start(program, &child)) {
        return false;
    }
    if (job != NULL) {
        AssignProcessToJobObject(job, child.hProcess);
    }
    ResumeThread(child.hThread);
    WaitForSingleObject(child.hProcess, INFINITE);
    GetExitCodeProcess(child.hProcess, exit_code);
    CloseHandle(child.hThread);
    CloseHandle(child.hProcess);
    return true;
}

bool execute_runtime(const struct bundle *bundle, const char *runtime_path, int num_arguments, char *const *arguments,
                     struct failure *failure)
{
    (void)num_arguments; /* the command line is handed on as it was given to us, quoting included */
    (void)arguments;
    if (!set_environment(bundle, runtime_path, failure)) {
        return false;
    }
    char *shown = format_text("%s\\" PROGRAM_NAME, runtime_path);
    wchar_t *usual_path = wide_from_utf8(shown);
    wchar_t *long_path = wide_long_path(shown);
    const wchar_t *program = wcslen(usual_path) < MAX_PATH ? usual_path : long_path;
    HANDLE job = make_job();
    struct restart_pipe pipe = make_restart_pipe();
    DWORD exit_code = EXIT_CODE_MACHINE;
    SetConsoleCtrlHandler(leave_to_runtime, TRUE);
    trace("executing %s", shown);
    bool started = run(program, job, &exit_code);
    if (started && wants_restart(pipe)) {
        trace("executing %s again", shown);
        started = run(program, job, &exit_code);
    }
    if (!started) {
        fail(failure, FAILURE_MACHINE,
             "can't start %s: %s. If a security policy forbids programs there, name another directory with "
             "PACKER_CACHE_DIR; if the file is broken, delete %s and start again.",
             shown, disk_error_text((disk_error)GetLastError()), runtime_path);
        free(shown);
        free(usual_path);
        free(long_path);
        return false;
    }
    console_pause_after(exit_code);
    ExitProcess(exit_code);
}

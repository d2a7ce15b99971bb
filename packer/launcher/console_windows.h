/*
 * The console window, or the lack of one.
 */
#ifndef PACKER_CONSOLE_WINDOWS_H
#define PACKER_CONSOLE_WINDOWS_H

#include "launcher.h"

/* Whether we were packed with --windowed: the subsystem in our own headers says so. */
bool console_is_windowed(void);

/* After a failure, keep a console window that closes with us open until a key is pressed. */
void console_pause_after(unsigned long exit_code);

#endif

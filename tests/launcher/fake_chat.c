/*
 * Stands in for the runtime's program, and for the dynamic loader: prints what it was given.
 *
 * Output: one line "argument VALUE" per argument, "variable NAME=VALUE" per environment variable, "end". Then, by the
 * last argument: "exit=N" ends with that code, "wait" waits for a signal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

int main(int num_arguments, char **arguments)
{
    for (int i = 0; i < num_arguments; i++) {
        printf("argument %s\n", arguments[i]);
    }
    for (char **variable = environ; *variable != NULL; variable++) {
        printf("variable %s\n", *variable);
    }
    printf("end\n");
    fflush(stdout);
    const char *last = arguments[num_arguments - 1];
    if (strcmp(last, "wait") == 0) {
        pause();
    }
    return strncmp(last, "exit=", 5) == 0 ? atoi(last + 5) : 0;
}

/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* Errors for people, and the exit codes, which zram(1) documents. */
#ifndef TOOLS_SAY_H
#define TOOLS_SAY_H

#define EXIT_USAGE   2 /* the command line is wrong: nothing was done */
#define EXIT_NO_DISK 3 /* the disk is not there, or went away */

/* "zram: ..." as one line on standard error. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, then ends the process. */
_Noreturn void die(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* All that was printed has to have arrived: returns code, or EXIT_FAILURE after one complaint. */
int close_output(int code);

/* Never NULL. */
void *need_memory(void *memory);

/* As asprintf(), never fails. */
char *text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif

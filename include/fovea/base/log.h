/* The log: one line a message on standard error, "fovea[rank] level: text", and with its time in a file if
 * one is kept; control characters in it are escapes (shown.h). Local; safe in any thread. A clean run prints
 * no warning. Metrics do not go through here. */
#ifndef FOVEA_BASE_LOG_H
#define FOVEA_BASE_LOG_H

#include "fovea/base/error.h"

typedef enum fv_log_level { FV_LOG_ERROR, FV_LOG_WARN, FV_LOG_INFO, FV_LOG_DEBUG } fv_log_level;

/* Set once, after the rank is known. Messages above level are dropped. Default: rank 0, FV_LOG_INFO. */
void fv_log_init(int rank, fv_log_level level);
int fv_log_rank(void);

/* A line at the end of a terminal that the next one replaces, and every message too. */
void fv_log_status(const char *text);
void fv_log_status_hide(void);
int fv_log_has_status(void); /* 1: it stands there. Safe in signal handlers */

/* From now on every message is also appended to this file: "2026-01-31T12:00:00Z level: text", and first the
 * few that came since fv_log_init. What cannot be written there is lost without more. A second file takes the
 * place of the first. */
fv_err fv_log_keep(const char *path);
/* Into that file alone. */
void fv_log_note(fv_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

void fv_log(fv_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void fv_log_root(fv_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Every rank prints. */
#define FV_LOG_RANK(level, ...) fv_log(FV_LOG_##level, __VA_ARGS__)
/* Rank 0 prints. */
#define FV_LOG_ROOT(level, ...) fv_log_root(FV_LOG_##level, __VA_ARGS__)

#endif

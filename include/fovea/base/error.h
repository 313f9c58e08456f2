/* Errors: one code for the machine, one sentence for the person.
 *
 * Every function that can fail returns fv_err. The first function that knows what went wrong records a
 * sentence (file, key, row or tensor; what was found; what was expected; the mend) in a record local to the
 * thread; callers pass the code on with FV_TRY. Nothing but jobs/ ends the process.
 * A sentence is one line in which control characters are escapes (shown.h). All functions here are Local and
 * safe in any thread. */
#ifndef FOVEA_BASE_ERROR_H
#define FOVEA_BASE_ERROR_H

/* Below zero: the call has failed. FV_BUSY: there is no room now; nothing has changed, and the same call may
 * succeed later. FV_STOPPED: a stop was requested (stop.h), and the call ended before its work was done: what
 * it leaves behind its contract says; who calls ends too, and a program does with FV_EXIT_AGAIN. */
#define FV_ERR_LIST(X)                             \
    X(FV_OK, 0, "success")                         \
    X(FV_BUSY, 1, "no room now")                   \
    X(FV_STOPPED, 2, "stopped on request")         \
    X(FV_ERR_ARGUMENT, -1, "bad argument")         \
    X(FV_ERR_FORMAT, -2, "malformed input")        \
    X(FV_ERR_IO, -3, "input or output failed")     \
    X(FV_ERR_MEMORY, -4, "out of memory")          \
    X(FV_ERR_SHAPE, -5, "shape or dtype mismatch") \
    X(FV_ERR_UNSUPPORTED, -6, "not supported")     \
    X(FV_ERR_COMM, -7, "communication failed")     \
    X(FV_ERR_DEVICE, -8, "device failed")          \
    X(FV_ERR_NUMERIC, -9, "non-finite number")     \
    X(FV_ERR_INTERNAL, -10, "internal error")

typedef enum fv_err {
#define X(name, code, text) name = code,
    FV_ERR_LIST(X)
#undef X
} fv_err;

/* The meaning of a code, e.g. "malformed input". Never NULL; static storage. */
const char *fv_err_name(fv_err code);

/* Record a failure in this thread's record. Use through FV_FAIL. */
void fv_error_set(const char *function, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Note that function passed the failure on. Use through FV_TRY. Returns code. */
fv_err fv_error_pass(fv_err code, const char *function);

/* Put a context in front of the recorded sentence: "context: sentence". Returns code. */
fv_err fv_error_prefix(fv_err code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The recorded sentence of this thread ("" if none), and the call trace, innermost first ("a < b < c").
 * Borrowed; valid until the next failure in this thread. */
const char *fv_error_text(void);
const char *fv_error_trace(void);

/* Who knows of the recorded failure. Anything recorded is OWN until fv_comm_agree says otherwise. */
typedef enum fv_error_scope {
    FV_ERROR_OWN,         /* this rank alone, or there is only one */
    FV_ERROR_AGREED,      /* every rank; it happened on this one */
    FV_ERROR_AGREED_OTHER /* every rank; it happened on another */
} fv_error_scope;
fv_error_scope fv_error_scope_get(void);
void fv_error_scope_set(fv_error_scope scope);

/* The record, to be put back after clearing up, which may fail as well. */
typedef struct fv_error_kept {
    char text[1024], trace[512];
    fv_error_scope scope;
} fv_error_kept;
void fv_error_keep(fv_error_kept *out);
void fv_error_restore(const fv_error_kept *kept);

/* Record a failure: return FV_FAIL(FV_ERR_IO, "cannot read %s", path); */
#define FV_FAIL(code, ...) (fv_error_set(__func__, __VA_ARGS__), (code))

/* Return on failure. */
#define FV_TRY(call)                                 \
    do {                                             \
        fv_err fv_try_ = (call);                     \
        if (fv_try_ != FV_OK)                        \
            return fv_error_pass(fv_try_, __func__); \
    } while (0)

#define FV_CHECK(condition, code, ...)           \
    do {                                         \
        if (!(condition))                        \
            return FV_FAIL((code), __VA_ARGS__); \
    } while (0)

/* The same for functions with something to release: they declare `fv_err err = FV_OK;` and a label `done`. */
#define FV_TRY_DONE(call)                 \
    do {                                  \
        err = (call);                     \
        if (err != FV_OK) {               \
            fv_error_pass(err, __func__); \
            goto done;                    \
        }                                 \
    } while (0)

#define FV_CHECK_DONE(condition, code, ...)     \
    do {                                        \
        if (!(condition)) {                     \
            err = FV_FAIL((code), __VA_ARGS__); \
            goto done;                          \
        }                                       \
    } while (0)

#endif

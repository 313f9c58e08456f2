/* What the library calls of the program: its record of errors. The rest of what it shares with the program is
 * compiled into both (CMakeLists.txt), and hidden here. */
#include "host/host.h"

#include <stdarg.h>
#include <stdio.h>

static fv_cuda_host host;

void fv_cuda_host_set(const fv_cuda_host *with)
{
    host = *with;
}

void fv_error_set(const char *function, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    host.error_set(function, "%s", text);
}

fv_err fv_error_pass(fv_err code, const char *function)
{
    return host.error_pass(code, function);
}

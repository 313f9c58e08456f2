/* Preloaded into a rank, it makes it late: where it waits for the others inside MPI_Init it writes the file
 * FAULT_LATE, for which they should wait, and stays there for three seconds more, taking what they send. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { N_TURNS = 300, TURN_US = 10000, WAIT_US = 100, N_WAITS = 1000 };

/* Open MPI's wait is: until it is so, opal_progress and usleep(100). A long one is for other ranks. */
int usleep(useconds_t us)
{
    static int n_waits;
    const char *path = getenv("FAULT_LATE");
    void (*progress)(void) = (void (*)(void))dlsym(RTLD_DEFAULT, "opal_progress");
    int (*real)(useconds_t) = (int (*)(useconds_t))dlsym(RTLD_NEXT, "usleep");
    if (path && progress && us == WAIT_US && ++n_waits == N_WAITS) {
        close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        for (int i = 0; i < N_TURNS; i++) {
            real(TURN_US);
            progress();
        }
    }
    return real(us);
}

#include "judge_server.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

void server_certificates(void)
{
    char command[4096];
    if (fv_file_exists(temp_path("tls")))
        return;
    snprintf(command, sizeof command, "bash '%s' '%s'", getenv("CERTIFICATES"), temp_folder("tls"));
    assert_int_equal(system(command), 0);
}

/* The server says its port when it listens. */
static int server_port(int output)
{
    int port = 0;
    FILE *file = fdopen(output, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &port), 1);
    fclose(file);
    return port;
}

void server_start(judge_server *server, const char *name, const char *certificate,
                  const char *const *arguments)
{
    char folder[4096], cert[4096], key[4096];
    char *argv[24] = {getenv("JUDGE_SERVER"), folder};
    int n = 2;
    assert_non_null(argv[0]);
    snprintf(server->folder, sizeof server->folder, "%s", name);
    snprintf(folder, sizeof folder, "%s", temp_folder(name));
    if (certificate) {
        server_certificates();
        snprintf(cert, sizeof cert, "%s/%s.pem", temp_path("tls"), certificate);
        snprintf(key, sizeof key, "%s/key.pem", temp_path("tls"));
        char *const tls[] = {"--cert", cert, "--key", key};
        memcpy(argv + n, tls, sizeof tls);
        n += 4;
    }
    for (; arguments && *arguments; arguments++)
        argv[n++] = (char *)*arguments;
    posix_spawn_file_actions_t actions;
    int ends[2], out[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, ends[0], 0), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, out[1], 1), 0);
    assert_int_equal(posix_spawn(&server->process, argv[0], &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[0]);
    close(out[1]);
    server->input = ends[1];
    snprintf(server->url, sizeof server->url, "%s://127.0.0.1:%d/v1", certificate ? "https" : "http",
             server_port(out[0]));
}

int server_requests(const judge_server *server, const char *word)
{
    char name[80], line[64];
    int n = 0;
    snprintf(name, sizeof name, "%s/requests", server->folder);
    FILE *file = fopen(temp_path(name), "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        n += !word || strstr(line, word) != NULL;
    fclose(file);
    return n;
}

void server_stop(judge_server *server)
{
    int status;
    close(server->input);
    assert_int_equal(waitpid(server->process, &status, 0), server->process);
}

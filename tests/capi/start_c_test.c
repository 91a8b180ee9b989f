/* What keeps a server from being made or started, and by which status a host is told. */
#include <postern.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int failures = 0;

static void expect(int condition, const char* what, const char* more) {
  if (condition) return;
  fprintf(stderr, "not so: %s: %s\n", what, more);
  ++failures;
}

static postern_server_options fresh(void) {
  static const char kConfig[] =
      "listen on 127.0.0.1 port 0\naction away relay\nmatch for any action away\n";
  postern_server_options options = POSTERN_SERVER_OPTIONS_INIT;
  options.config_text = kConfig;
  options.config_text_len = sizeof kConfig - 1;
  options.no_threads = 1;
  options.no_control = 1;
  return options;
}

/* refused expects `options` to be refused by postern_server_new or _start with `wanted`, in words
 * that have `words`. */
static void refused(const postern_server_options* options, postern_status wanted,
                    const char* words) {
  postern_server* server = NULL;
  postern_error* error = NULL;
  postern_status status = postern_server_new(&server, options, &error);
  if (status == POSTERN_OK) status = postern_server_start(server, &error);
  expect(status == wanted, postern_status_name(status), words);
  expect(strstr(postern_error_message(error), words) != NULL, postern_error_message(error), words);
  expect(strstr(postern_error_message(error), "option -s") == NULL, "no option of a program",
         postern_error_message(error));
  postern_error_free(error);
  postern_server_free(server);
}

static void spools(const char* folder) {
  postern_server_options options = fresh();
  postern_server* server = NULL;
  postern_error* error = NULL;
  char path[200], below[240];
  FILE* file;
  snprintf(path, sizeof path, "%s/file", folder);
  file = fopen(path, "w");
  if (file != NULL) fclose(file);
  options.spool_path = path;
  refused(&options, POSTERN_ERR_IO, "is no folder");
  snprintf(path, sizeof path, "%s/none/spool", folder);
  refused(&options, POSTERN_ERR_IO, "does not exist");
  snprintf(path, sizeof path, "%s/spool", folder);
  expect(postern_server_new(&server, &options, &error) == POSTERN_OK &&
             postern_server_start(server, &error) == POSTERN_OK,
         "a server", postern_error_message(error));
  refused(&options, POSTERN_ERR_BUSY, "uses this spool");
  expect(postern_server_start(server, NULL) == POSTERN_ERR_BUSY, "started twice", "");
  expect(postern_server_reload(server, NULL) == POSTERN_OK, "a reload", "");
  postern_server_stop(server, 1000);
  while (postern_server_poll(server, NULL, 100, NULL) == POSTERN_OK) {
  }
  expect(postern_server_reload(server, &error) == POSTERN_ERR_BUSY, "no reload after the end",
         postern_error_message(error));
  postern_error_free(error);
  postern_server_free(server);
  snprintf(below, sizeof below, "rm -r '%s'", folder);
  expect(system(below) == 0, below, "");
}

int main(void) {
  char folder[] = "/tmp/postern-start-XXXXXX";
  postern_log_output output = POSTERN_LOG_OUTPUT_INIT;
  postern_server_options options = fresh();
  options.in_memory = 1;
  options.log_output = &output;
  refused(&options, POSTERN_ERR_INVALID_ARGUMENT, "no target");
  options.log_output = NULL;
  options.workers = 4;
  refused(&options, POSTERN_ERR_INVALID_ARGUMENT, "without threads has one");
  options.no_threads = 0;
  options.workers = 257;
  refused(&options, POSTERN_ERR_INVALID_ARGUMENT, "at most 256");
  if (mkdtemp(folder) == NULL) return 1;
  spools(folder);
  return failures == 0 ? 0 : 1;
}

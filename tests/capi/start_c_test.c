/* What keeps a server from being made or started, and by which status a host is told. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <postern.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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

/* refused_by expects `options` to be refused by postern_server_new or _start with `wanted`, in
 * words that have `words`, for the sake of `os_errno`. */
static void refused_by(const postern_server_options* options, postern_status wanted,
                       const char* words, int os_errno) {
  postern_server* server = NULL;
  postern_error* error = NULL;
  postern_status status = postern_server_new(&server, options, &error);
  if (status == POSTERN_OK) status = postern_server_start(server, &error);
  expect(status == wanted, postern_status_name(status), words);
  expect(strstr(postern_error_message(error), words) != NULL, postern_error_message(error), words);
  expect(strstr(postern_error_message(error), "option -s") == NULL, "no option of a program",
         postern_error_message(error));
  expect(postern_error_os_errno(error) == os_errno, strerror(postern_error_os_errno(error)), words);
  postern_error_free(error);
  postern_server_free(server);
}

static void refused(const postern_server_options* options, postern_status wanted,
                    const char* words) {
  refused_by(options, wanted, words, 0);
}

/* A disk that is full says so by its number, whoever notices it. */
static void full(const char* folder) {
  static const char kConfig[] =
      "listen on 127.0.0.1 port 0\nqueue reserve 100000000G\naction away relay\n"
      "match for any action away\n";
  static const char* const kTo[] = {"bob@example.org"};
  postern_server_options options = fresh();
  postern_submission mail = POSTERN_SUBMISSION_INIT;
  postern_server* server = NULL;
  postern_error* error = NULL;
  char path[200];
  snprintf(path, sizeof path, "%s/full", folder);
  options.spool_path = path;
  options.config_text = kConfig;
  options.config_text_len = sizeof kConfig - 1;
  expect(postern_server_new(&server, &options, &error) == POSTERN_OK &&
             postern_server_start(server, &error) == POSTERN_OK,
         "a server", postern_error_message(error));
  mail.recipients = kTo;
  mail.recipient_count = 1;
  mail.content = "Subject: x\r\n\r\nx\r\n";
  mail.content_len = strlen(mail.content);
  expect(postern_server_submit(server, NULL, 0, &mail, &error) == POSTERN_ERR_LIMIT,
         "there is no room", postern_error_message(error));
  expect(postern_error_os_errno(error) == ENOSPC, strerror(postern_error_os_errno(error)),
         postern_error_message(error));
  postern_error_free(error);
  postern_server_stop(server, 1000);
  while (postern_server_poll(server, NULL, 100, NULL) == POSTERN_OK) {
  }
  postern_server_free(server);
}

/* A port that somebody else has. */
static void taken(void) {
  postern_server_options options = fresh();
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  char text[200];
  const int other = socket(AF_INET, SOCK_STREAM, 0);
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  expect(bind(other, (struct sockaddr*)&address, size) == 0 && listen(other, 1) == 0 &&
             getsockname(other, (struct sockaddr*)&address, &size) == 0,
         "a port", "");
  snprintf(text, sizeof text,
           "listen on 127.0.0.1 port %d\naction away relay\nmatch for any action away\n",
           ntohs(address.sin_port));
  options.in_memory = 1;
  options.config_text = text;
  options.config_text_len = strlen(text);
  refused_by(&options, POSTERN_ERR_EXISTS, "is in use", EADDRINUSE);
  close(other);
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
  refused_by(&options, POSTERN_ERR_IO, "is no folder", ENOTDIR);
  snprintf(path, sizeof path, "%s/none/spool", folder);
  refused_by(&options, POSTERN_ERR_IO, "does not exist", ENOENT);
  if (geteuid() != 0) {
    options.spool_path = "/postern-may-not-be-here";
    refused_by(&options, POSTERN_ERR_AUTH, "spool", EACCES);
    options.spool_path = path;
  }
  full(folder);
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
  taken();
  spools(folder);
  return failures == 0 ? 0 : 1;
}

/* A server of two event loops with its queue on disk: it starts, takes mail on both, reloads,
 * stops, and can also be freed without having run. */
#include <arpa/inet.h>
#include <postern.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define SESSIONS 8
#define MESSAGES 10 /* of each session */

static int failures = 0;

static void expect(int condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "not so: %s\n", what);
  ++failures;
}

/* What on_message has seen: from how many threads it was called, and how often. */
struct seen {
  pthread_mutex_t mutex;
  pthread_t threads[SESSIONS];
  int thread_count;
  int messages;
};

static postern_status take(const postern_message* mail, postern_message_verdict* verdict,
                           void* user_data) {
  struct seen* seen = user_data;
  int i;
  (void)mail;
  verdict->action = POSTERN_MESSAGE_TAKE;
  pthread_mutex_lock(&seen->mutex);
  for (i = 0; i < seen->thread_count; ++i) {
    if (pthread_equal(seen->threads[i], pthread_self())) break;
  }
  if (i == seen->thread_count && i < SESSIONS) seen->threads[seen->thread_count++] = pthread_self();
  ++seen->messages;
  pthread_mutex_unlock(&seen->mutex);
  return POSTERN_OK;
}

/* connect_to gives a socket to the server, whose greeting is the first reply on it. */
static int connect_to(uint16_t port) {
  struct timeval patience = {20, 0};
  struct sockaddr_in to;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  memset(&to, 0, sizeof to);
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(fd, (struct sockaddr*)&to, sizeof to) != 0) perror("connect");
  return fd;
}

/* says sends `text` and tells whether the reply (one line, or the last of several) begins with
 * `digit`. */
static int says(int fd, const char* text, char digit) {
  char reply[4096];
  size_t length = 0, line = 0;
  if (write(fd, text, strlen(text)) != (ssize_t)strlen(text)) return 0;
  while (length < sizeof reply && read(fd, reply + length, 1) == 1) {
    if (reply[length++] != '\n') continue;
    if (length - line > 4 && reply[line + 3] == ' ') return reply[line] == digit;
    line = length;
  }
  return 0;
}

static void* send_mail(void* port) {
  const int fd = connect_to(*(uint16_t*)port);
  int good = says(fd, "", '2') && says(fd, "EHLO client.test\r\n", '2');
  int i;
  for (i = 0; good && i < MESSAGES; ++i) {
    good = says(fd, "MAIL FROM:<a@client.test>\r\n", '2') &&
           says(fd, "RCPT TO:<b@example.test>\r\n", '2') && says(fd, "DATA\r\n", '3') &&
           says(fd, "Subject: x\r\n\r\nbody\r\n.\r\n", '2');
  }
  good = good && says(fd, "QUIT\r\n", '2');
  close(fd);
  return good ? port : NULL;
}

static void* run_server(void* server) {
  return postern_server_run(server, NULL) == POSTERN_OK ? server : NULL;
}

static postern_server* start(const char* spool, const postern_message_callbacks* message) {
  const char* config =
      "mailname \"example.test\"\nlisten on 127.0.0.1 port 0\naction taken relay\n"
      "match from any for any action taken\n";
  postern_server_options options = POSTERN_SERVER_OPTIONS_INIT;
  postern_server* server = NULL;
  postern_error* error = NULL;
  postern_status status;
  options.config_text = config;
  options.config_text_len = strlen(config);
  options.spool_path = spool;
  options.workers = 2;
  options.message = message;
  status = postern_server_new(&server, &options, &error);
  if (status == POSTERN_OK) status = postern_server_start(server, &error);
  if (status == POSTERN_OK) return server;
  fprintf(stderr, "%s\n", postern_error_message(error));
  exit(1);
}

static void submit_one(postern_server* server) {
  const char* recipient = "someone@example.test";
  postern_submission submission = POSTERN_SUBMISSION_INIT;
  submission.reverse_path = "program@example.test";
  submission.recipients = &recipient;
  submission.recipient_count = 1;
  submission.content = "Subject: x\n\nbody\n";
  submission.content_len = strlen(submission.content);
  expect(postern_server_submit(server, NULL, 0, &submission, NULL) == POSTERN_OK,
         "a message is submitted before the server runs");
}

int main(void) {
  char folder[] = "/tmp/postern-workers-XXXXXX";
  char spool[64], command[128];
  struct seen seen = {PTHREAD_MUTEX_INITIALIZER, {0}, 0, 0};
  postern_message_callbacks callbacks = POSTERN_MESSAGE_CALLBACKS_INIT;
  pthread_t runner, clients[SESSIONS];
  postern_server* server;
  void* result;
  uint16_t port;
  int i, idle;
  if (mkdtemp(folder) == NULL) return 1;
  snprintf(spool, sizeof spool, "%s/spool", folder);
  callbacks.on_message = take;
  callbacks.user_data = &seen;

  /* One that starts and never runs, with a client at each loop. */
  server = start(spool, &callbacks);
  port = postern_server_endpoint_port(server, 0);
  idle = connect_to(port);
  close(connect_to(port));
  submit_one(server);
  expect(seen.messages == 1, "the submitted message came to the callback");
  postern_server_free(server);
  close(idle);

  seen.thread_count = seen.messages = 0;
  server = start(spool, &callbacks);
  port = postern_server_endpoint_port(server, 0);
  expect(postern_server_poll(server, NULL, 0, NULL) == POSTERN_ERR_INVALID_ARGUMENT,
         "a server of two loops is run, not polled");
  pthread_create(&runner, NULL, run_server, server);
  for (i = 0; i < SESSIONS; ++i) pthread_create(&clients[i], NULL, send_mail, &port);
  for (i = 0; i < 5; ++i) {
    expect(postern_server_reload(server, NULL) == POSTERN_OK, "it reloads under load");
    usleep(5000);
  }
  for (i = 0; i < SESSIONS; ++i) {
    pthread_join(clients[i], &result);
    expect(result != NULL, "every message of a session is taken");
  }
  pthread_mutex_lock(&seen.mutex);
  expect(seen.messages == SESSIONS * MESSAGES, "each message came to the callback once");
  expect(seen.thread_count == 2, "two threads served sessions");
  pthread_mutex_unlock(&seen.mutex);
  idle = connect_to(port);
  expect(says(idle, "", '2'), "a session is there when the server stops");
  postern_server_stop(server, 5000);
  pthread_join(runner, &result);
  expect(result != NULL, "it stops");
  close(idle);
  postern_server_free(server);

  snprintf(command, sizeof command, "rm -r %s", folder);
  if (system(command) != 0) return 1;
  return failures == 0 ? 0 : 1;
}

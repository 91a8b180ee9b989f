/* A filter of the embedding program: what it is asked and told, and what its verdicts do. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <postern.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int failures = 0;
static int destroyed = 0;

static void expect(int condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "not so: %s\n", what);
  ++failures;
}

static int is(postern_str text, const char* wanted) {
  return text.len == strlen(wanted) && (text.len == 0 || memcmp(text.data, wanted, text.len) == 0);
}

struct seen {
  int32_t phase; /* in which `action` is taken */
  int32_t action;
  int32_t code;
  const char* text;
  postern_status status;
  int asked[POSTERN_PHASE_OTHER + 1];
  char events[4096];
  int taken;
  int junk;
  char sender[100];
};

static postern_status on_step(const postern_step* step, postern_step_verdict* verdict,
                              void* user_data) {
  struct seen* seen = user_data;
  int32_t phase = postern_step_phase(step);
  expect(verdict->struct_size == sizeof *verdict && verdict->action == POSTERN_STEP_PROCEED,
         "the verdict comes ready");
  expect(postern_step_session(step).len == 16, "the session has an id");
  expect(is(postern_step_client_address(step), "127.0.0.1"), "the client's address");
  expect(postern_step_is_tls(step) == 0 && postern_step_auth_user(step).len == 0,
         "no TLS, no login");
  if (phase < 0 || phase > POSTERN_PHASE_OTHER) {
    expect(0, "a known phase");
    return POSTERN_OK;
  }
  ++seen->asked[phase];
  if (phase == POSTERN_PHASE_EHLO) expect(is(postern_step_argument(step), "c.example"), "EHLO");
  if (phase == POSTERN_PHASE_MAIL_FROM) {
    expect(is(postern_step_argument(step), "a@b.example"), "MAIL");
    expect(is(postern_step_helo(step), "c.example"), "the name is known by then");
  }
  if (phase == POSTERN_PHASE_RCPT_TO)
    expect(is(postern_step_argument(step), "x@y.example"), "RCPT");
  if (phase == POSTERN_PHASE_OTHER) expect(is(postern_step_argument(step), "VRFY me"), "VRFY");
  if (phase != seen->phase) return POSTERN_OK;
  verdict->action = seen->action;
  verdict->reply_code = seen->code;
  if (seen->text != NULL) strcpy(verdict->text, seen->text);
  return seen->status;
}

static void on_event(const postern_step* step, const char* event, void* user_data) {
  struct seen* seen = user_data;
  expect(postern_step_phase(step) == -1, "an event is no phase");
  if (strcmp(event, "protocol-server") == 0) return;
  if (strlen(seen->events) + strlen(event) + 2 > sizeof seen->events) return;
  strcat(seen->events, event);
  strcat(seen->events, " ");
}

static postern_status on_message(const postern_message* message, postern_message_verdict* verdict,
                                 void* user_data) {
  struct seen* seen = user_data;
  postern_str sender = postern_message_reverse_path(message);
  ++seen->taken;
  seen->junk = postern_message_content(message).len > 11 &&
               memcmp(postern_message_content(message).data, "X-Spam: Yes", 11) == 0;
  snprintf(seen->sender, sizeof seen->sender, "%.*s", (int)sender.len, sender.data);
  verdict->action = POSTERN_MESSAGE_TAKE;
  return POSTERN_OK;
}

static void destroy(void* user_data) {
  (void)user_data;
  ++destroyed;
}

/* Says all of `script` and gives the codes of the replies. */
static void say(postern_server* server, const char* script, char* codes, size_t room) {
  static char heard[16384];
  size_t length = 0;
  char* line;
  struct sockaddr_in address;
  int client = socket(AF_INET, SOCK_STREAM, 0);
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_port = htons(postern_server_endpoint_port(server, 0));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  expect(connect(client, (struct sockaddr*)&address, sizeof address) == 0, "connected");
  expect(write(client, script, strlen(script)) == (ssize_t)strlen(script), "said");
  fcntl(client, F_SETFL, O_NONBLOCK);
  for (;;) {
    ssize_t got = read(client, heard + length, sizeof heard - 1 - length);
    if (got > 0) length += (size_t)got;
    if (got == 0 || (got < 0 && errno != EAGAIN)) break;
    if (got < 0) postern_server_poll(server, NULL, 100, NULL);
  }
  close(client);
  /* The server learns of it. */
  postern_server_poll(server, NULL, 100, NULL);
  heard[length] = 0;
  codes[0] = 0;
  for (line = strtok(heard, "\n"); line != NULL; line = strtok(NULL, "\n")) {
    if (strlen(line) < 4 || line[3] != ' ' || strlen(codes) + 5 > room) continue;
    strncat(codes, line, 4);
  }
}

static const char kScript[] =
    "EHLO c.example\r\nVRFY me\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@y.example>\r\nDATA\r\n"
    "Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n";

struct row {
  int32_t phase, action, code;
  const char* text;
  postern_status status;
  const char* codes;
};

int main(void) {
  static const struct row kRows[] = {
      {-2, 0, 0, NULL, POSTERN_OK, "220 250 252 250 250 354 250 221 "},
      {POSTERN_PHASE_CONNECT, POSTERN_STEP_DISCONNECT, 554, "go", POSTERN_OK, "554 "},
      {POSTERN_PHASE_OTHER, POSTERN_STEP_REJECT, 0, NULL, POSTERN_OK,
       "220 250 550 250 250 354 250 221 "},
      {POSTERN_PHASE_MAIL_FROM, POSTERN_STEP_REWRITE, 0, "new@b.example", POSTERN_OK,
       "220 250 252 250 250 354 250 221 "},
      {POSTERN_PHASE_MAIL_FROM, POSTERN_STEP_JUNK, 0, NULL, POSTERN_OK,
       "220 250 252 250 250 354 250 221 "},
      {POSTERN_PHASE_COMMIT, POSTERN_STEP_REJECT, 452, "4.2.2 later", POSTERN_OK,
       "220 250 252 250 250 354 452 221 "},
      {POSTERN_PHASE_COMMIT, 99, 0, NULL, POSTERN_OK, "220 250 252 250 250 354 451 221 "},
      {POSTERN_PHASE_COMMIT, 0, 0, NULL, POSTERN_ERR_INTERNAL, "220 250 252 250 250 354 451 221 "},
      {POSTERN_PHASE_QUIT, POSTERN_STEP_DISCONNECT, 421, NULL, POSTERN_OK,
       "220 250 252 250 250 354 250 421 "},
  };
  const char* config =
      "listen on 127.0.0.1 port 0\naction taken relay\nmatch from any for any action taken\n";
  postern_message_callbacks message = POSTERN_MESSAGE_CALLBACKS_INIT;
  postern_filter_callbacks filter = POSTERN_FILTER_CALLBACKS_INIT;
  postern_server_options options = POSTERN_SERVER_OPTIONS_INIT;
  postern_server* server = NULL;
  postern_error* error = NULL;
  struct seen seen;
  char codes[200];
  size_t i;
  memset(&seen, 0, sizeof seen);
  message.on_message = on_message;
  message.user_data = &seen;
  filter.on_step = on_step;
  filter.on_event = on_event;
  filter.destroy_user_data = destroy;
  filter.user_data = &seen;
  options.config_text = config;
  options.config_text_len = strlen(config);
  options.in_memory = 1;
  options.no_threads = 1;
  options.message = &message;
  options.filter = &filter;
  if (postern_server_new(&server, &options, &error) != POSTERN_OK ||
      postern_server_start(server, &error) != POSTERN_OK) {
    fprintf(stderr, "%s\n", postern_error_message(error));
    return 1;
  }
  for (i = 0; i < sizeof kRows / sizeof *kRows; ++i) {
    const struct row* row = &kRows[i];
    memset(&seen, 0, sizeof seen);
    seen.phase = row->phase;
    seen.action = row->action;
    seen.code = row->code;
    seen.text = row->text;
    seen.status = row->status;
    say(server, kScript, codes, sizeof codes);
    if (strcmp(codes, row->codes) != 0) fprintf(stderr, "row %d: %s\n", (int)i, codes);
    expect(strcmp(codes, row->codes) == 0, "the replies");
    expect(seen.taken == (strstr(row->codes, "354 250") != NULL), "what is refused is not taken");
    expect(seen.junk == (row->action == POSTERN_STEP_JUNK), "junk is marked");
    if (seen.taken) {
      expect(
          strcmp(seen.sender, row->action == POSTERN_STEP_REWRITE ? row->text : "a@b.example") == 0,
          "the sender");
    }
    if (i == 0) {
      expect(strcmp(seen.events,
                    "link-connect filter-response link-greeting protocol-client filter-response "
                    "link-identify protocol-client filter-response protocol-client filter-response "
                    "tx-begin tx-mail protocol-client filter-response tx-envelope tx-rcpt "
                    "protocol-client filter-response tx-data protocol-client filter-response "
                    "tx-commit tx-reset "
                    "protocol-client filter-response link-disconnect ") == 0,
             seen.events);
      expect(seen.asked[POSTERN_PHASE_COMMIT] == 1 && seen.asked[POSTERN_PHASE_QUIT] == 1, "asked");
    }
  }
  postern_server_free(server);
  expect(destroyed == 1, "the user data is given back once");
  return failures == 0 ? 0 : 1;
}

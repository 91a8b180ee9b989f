/* SPF, iprev and the three resolvers through the C API. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <postern.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int failures = 0;

static void expect(int condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "not so: %s\n", what);
  ++failures;
}

static void expect_text(const char* found, const char* wanted) {
  if (strcmp(found, wanted) == 0) return;
  fprintf(stderr, "not so: found \"%s\", wanted \"%s\"\n", found, wanted);
  ++failures;
}

static const char kZone[] =
    "example.org. TXT \"v=spf1 ip4:192.0.2.0/28 include:i.example.org -all exp=e.example.org\"\n"
    "i.example.org. TXT \"v=spf1 ip4:198.51.100.0/24 -all\"\n"
    "e.example.org. TXT \"no: %{c} at %{t}\"\n"
    "void.example.org. TXT \"v=spf1 a:n1.example.org a:n2.example.org -all\"\n"
    "1.2.0.192.in-addr.arpa. PTR mail.example.org.\n"
    "mail.example.org. A 192.0.2.1\n";

static void test_zone(void) {
  postern_resolver* resolver = NULL;
  postern_error* error = NULL;
  postern_spf* spf = NULL;
  postern_iprev* iprev = NULL;
  postern_spf_options options = POSTERN_SPF_OPTIONS_INIT;
  struct {
    postern_spf_options known;
    int of_the_future;
  } newer;

  expect(
      postern_resolver_new_zone(&resolver, "a. B c\n", 7, &error) == POSTERN_ERR_INVALID_ARGUMENT &&
          resolver == NULL,
      "a wrong zone is refused");
  expect(strncmp(postern_error_message(error), "line 1: ", 8) == 0, "the error names the line");
  postern_error_free(error);
  expect(postern_resolver_new_zone(&resolver, kZone, strlen(kZone), NULL) == POSTERN_OK, "a zone");

  options.client_ip = "198.51.100.1";
  options.sender = "joe@example.org";
  options.receiver = "mx.example.net";
  options.now_unix_s = 1234567890;
  expect(postern_spf_check(&spf, resolver, &options, NULL) == POSTERN_OK, "a check");
  expect(postern_spf_result(spf) == POSTERN_SPF_PASS, "it passes");
  expect_text(postern_spf_result_name(spf), "pass");
  expect_text(postern_spf_reason(spf), "matched");
  expect_text(postern_spf_domain(spf), "example.org");
  expect_text(postern_spf_mechanism(spf), "include:i.example.org");
  expect(postern_spf_step_count(spf) == 2, "two records");
  expect_text(postern_spf_step_domain(spf, 1), "i.example.org");
  expect_text(postern_spf_step_record(spf, 1), "v=spf1 ip4:198.51.100.0/24 -all");
  expect_text(postern_spf_step_term(spf, 1), "ip4:198.51.100.0/24");
  expect_text(postern_spf_step_term(spf, 2), "");
  expect(postern_spf_lookups(spf) == 1 && postern_spf_void_lookups(spf) == 0, "one lookup");
  expect(strncmp(postern_spf_received_header(spf), "Received-SPF: pass (mx.example.net: ", 36) == 0,
         "a header");
  expect(strstr(postern_spf_json(spf), "\"result\": \"pass\"") != NULL, "JSON");
  postern_spf_free(spf);

  options.client_ip = "203.0.113.1";
  expect(postern_spf_check(&spf, resolver, &options, NULL) == POSTERN_OK, "a check");
  expect(postern_spf_result(spf) == POSTERN_SPF_FAIL, "it fails");
  expect_text(postern_spf_published(spf), "no: 203.0.113.1 at 1234567890");
  postern_spf_free(spf);

  options.sender = "joe@void.example.org";
  options.max_void_lookups = 1;
  expect(postern_spf_check(&spf, resolver, &options, NULL) == POSTERN_OK, "a check");
  expect_text(postern_spf_reason(spf), "too_many_void_lookups");
  postern_spf_free(spf);
  options.max_lookups = POSTERN_SPF_NO_LOOKUPS;
  expect(postern_spf_check(&spf, resolver, &options, NULL) == POSTERN_OK, "a check");
  expect_text(postern_spf_reason(spf), "too_many_lookups");
  postern_spf_free(spf);

  options.client_ip = "192.0.2";
  expect(postern_spf_check(&spf, resolver, &options, &error) == POSTERN_ERR_INVALID_ARGUMENT &&
             spf == NULL,
         "an address is wanted");
  expect_text(postern_error_message(error), "'192.0.2' is not an IP address");
  postern_error_free(error);
  options.client_ip = NULL;
  expect(postern_spf_check(&spf, resolver, &options, NULL) == POSTERN_ERR_INVALID_ARGUMENT,
         "no address is none");
  memset(&newer, 0, sizeof newer);
  newer.known.struct_size = sizeof newer;
  newer.of_the_future = 1;
  expect(postern_spf_check(&spf, resolver, &newer.known, NULL) == POSTERN_ERR_VERSION,
         "what we do not know is refused");

  expect(postern_iprev_check(&iprev, resolver, "192.0.2.1", NULL) == POSTERN_OK, "iprev");
  expect(postern_iprev_result(iprev) == POSTERN_IPREV_PASS, "it passes");
  expect_text(postern_iprev_name(iprev), "mail.example.org");
  expect_text(postern_iprev_reason(iprev), "address_confirmed");
  postern_iprev_free(iprev);
  postern_spf_free(NULL);
  postern_iprev_free(NULL);
  postern_resolver_free(resolver);
  postern_resolver_free(NULL);
}

struct script {
  int asked, destroyed, fail;
};

static postern_status on_query(const char* name, uint16_t type, postern_dns_answer* answer,
                               void* user_data) {
  static const char mx[] = {0, 10, 4, 'm', 'a', 'i', 'l', 3, 'o', 'r', 'g', 0};
  struct script* script = user_data;
  ++script->asked;
  if (script->fail) return -77;
  if (strcmp(name, "example.org") == 0 && type == 16) {
    const char text[] = "\"v=spf1 mx a:slow.org -all\"";
    expect(postern_dns_answer_add(answer, "\"x", 2) == POSTERN_ERR_INVALID_ARGUMENT,
           "wrong data are refused");
    expect(postern_dns_answer_add(answer, "\"a\"\nother. A 192.0.2.1", 24) ==
               POSTERN_ERR_INVALID_ARGUMENT,
           "one record is one record");
    return postern_dns_answer_add(answer, text, strlen(text));
  }
  if (strcmp(name, "example.org") == 0 && type == 15) {
    expect(postern_dns_answer_add_octets(answer, mx, sizeof mx - 1) == POSTERN_ERR_INVALID_ARGUMENT,
           "octets that end early are refused");
    return postern_dns_answer_add_octets(answer, mx, sizeof mx);
  }
  if (strcmp(name, "mail.org") == 0 && type == 1)
    return postern_dns_answer_add(answer, "192.0.2.1", 9);
  if (strcmp(name, "slow.org") == 0)
    postern_dns_answer_set_failure(answer, POSTERN_DNS_TIMEOUT);
  else
    postern_dns_answer_set_failure(answer, POSTERN_DNS_NX_DOMAIN);
  return POSTERN_OK;
}

static void count_destroy(void* user_data) { ++((struct script*)user_data)->destroyed; }

static void test_callback(void) {
  struct script script = {0, 0, 0};
  postern_resolver_callbacks callbacks = POSTERN_RESOLVER_CALLBACKS_INIT;
  postern_resolver* resolver = NULL;
  postern_error* error = NULL;
  postern_spf* spf = NULL;
  postern_spf_options options = POSTERN_SPF_OPTIONS_INIT;
  callbacks.user_data = &script;
  callbacks.destroy_user_data = count_destroy;
  expect(postern_resolver_new_callback(&resolver, &callbacks, NULL) == POSTERN_ERR_INVALID_ARGUMENT,
         "on_query is wanted");
  expect(script.destroyed == 1, "user data is destroyed when new fails");
  callbacks.on_query = on_query;
  expect(postern_resolver_new_callback(&resolver, &callbacks, NULL) == POSTERN_OK, "a resolver");
  options.client_ip = "192.0.2.1";
  options.sender = "joe@example.org";
  expect(postern_spf_check(&spf, resolver, &options, NULL) == POSTERN_OK, "a check");
  expect_text(postern_spf_explanation(spf),
              "SPF pass: 192.0.2.1 matches mx of example.org's record");
  expect(script.asked == 3, "three questions");
  postern_spf_free(spf);
  options.client_ip = "192.0.2.2";
  expect(postern_spf_check(&spf, resolver, &options, NULL) == POSTERN_OK, "a check");
  expect(postern_spf_result(spf) == POSTERN_SPF_TEMPERROR, "a timeout is a temperror");
  postern_spf_free(spf);
  script.fail = 1;
  expect(postern_spf_check(&spf, resolver, &options, &error) == POSTERN_ERR_CALLBACK && spf == NULL,
         "a callback's failure is told");
  expect(postern_error_callback_status(error) == -77, "with its status");
  postern_error_free(error);
  postern_resolver_free(resolver);
  expect(script.destroyed == 2, "user data is destroyed with the resolver");
}

/* Seconds of a clock that only goes on. */
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The whole check has a minute, its question 200 ms: it ends with the question. */
static void test_silent(void) {
  postern_resolver_options resolver_options = POSTERN_RESOLVER_OPTIONS_INIT;
  postern_resolver* resolver = NULL;
  postern_spf* spf = NULL;
  postern_spf_options options = POSTERN_SPF_OPTIONS_INIT;
  char server[40];
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  double begun;
  const int silent = socket(AF_INET, SOCK_DGRAM, 0);
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  expect(silent >= 0 && bind(silent, (struct sockaddr*)&address, size) == 0 &&
             getsockname(silent, (struct sockaddr*)&address, &size) == 0,
         "a silent server");
  snprintf(server, sizeof server, "127.0.0.1@%d", ntohs(address.sin_port));
  resolver_options.forwarders = server;
  resolver_options.timeout_ms = 60000;
  resolver_options.question_timeout_ms = 200;
  expect(postern_resolver_new_system(&resolver, &resolver_options, NULL) == POSTERN_OK,
         "a resolver");
  options.client_ip = "192.0.2.1";
  options.sender = "joe@example.org";
  begun = now();
  expect(postern_spf_check(&spf, resolver, &options, NULL) == POSTERN_OK, "a check");
  expect(postern_spf_result(spf) == POSTERN_SPF_TEMPERROR, "nobody answers");
  expect(now() - begun < 4, "a question is not waited for longer than it may take");
  postern_spf_free(spf);
  postern_resolver_free(resolver);
  close(silent);
}

/* A server that is not there: the check ends in time, as a temporary error. */
static void test_system(void) {
  postern_resolver_options resolver_options = POSTERN_RESOLVER_OPTIONS_INIT;
  postern_resolver* resolver = NULL;
  postern_spf* spf = NULL;
  postern_spf_options options = POSTERN_SPF_OPTIONS_INIT;
  postern_error* error = NULL;
  int i;
  resolver_options.forwarders = "127.0.0.1@9";
  resolver_options.timeout_ms = 300;
  expect(postern_resolver_new_system(&resolver, &resolver_options, NULL) == POSTERN_OK,
         "a resolver");
  options.client_ip = "192.0.2.1";
  options.sender = "joe@example.org";
  for (i = 0; i < 2; ++i) {
    expect(postern_spf_check(&spf, resolver, &options, NULL) == POSTERN_OK, "a check");
    expect(postern_spf_result(spf) == POSTERN_SPF_TEMPERROR, "nobody answers");
    postern_spf_free(spf);
  }
  postern_resolver_free(resolver);
  /* A server that takes what it is sent and says nothing: each question has its own bound. */
  test_silent();
  resolver_options.question_timeout_ms = 60001;
  expect(postern_resolver_new_system(&resolver, &resolver_options, &error) ==
                 POSTERN_ERR_INVALID_ARGUMENT &&
             resolver == NULL && strstr(postern_error_message(error), "at most 60000") != NULL,
         "a question has a bound");
  postern_error_free(error);
  resolver_options.question_timeout_ms = 0;
  resolver_options.forwarders = "not an address";
  expect(postern_resolver_new_system(&resolver, &resolver_options, NULL) ==
                 POSTERN_ERR_INVALID_ARGUMENT &&
             resolver == NULL,
         "a server is an address");
}

int main(void) {
  test_zone();
  test_callback();
  test_system();
  if (failures == 0) printf("ok\n");
  return failures != 0;
}

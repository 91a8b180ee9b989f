/* DKIM and ARC through the C API, as a C program sees them. */
#include <postern.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect(int good, const char* what) {
  if (good) return;
  fprintf(stderr, "not so: %s\n", what);
  exit(1);
}
static void expect_text(const char* text, const char* expected) {
  if (strcmp(text, expected) == 0) return;
  fprintf(stderr, "\"%s\" is not \"%s\"\n", text, expected);
  exit(1);
}

static const char kMessage[] = "From: Ann <ann@example.org>\r\nSubject: a test\r\n\r\nHello\r\n";

static postern_status fail_query(const char* name, uint16_t type, postern_dns_answer* answer,
                                 void* user_data) {
  (void)name, (void)type, (void)answer, (void)user_data;
  return POSTERN_ERR_TIMEOUT;
}

static postern_dkim* verify(const char* message, postern_resolver* resolver) {
  postern_dkim_verifier* verifier = NULL;
  postern_dkim* dkim = NULL;
  expect(postern_dkim_verifier_new(&verifier, NULL, NULL) == POSTERN_OK, "a verifier");
  expect(postern_dkim_verifier_feed(verifier, message, strlen(message), NULL) == POSTERN_OK,
         "feed");
  expect(postern_dkim_verifier_finish(verifier, resolver, &dkim, NULL) == POSTERN_OK, "finish");
  expect(postern_dkim_verifier_feed(verifier, message, 1, NULL) == POSTERN_ERR_BUSY, "at its end");
  postern_dkim_verifier_free(verifier);
  return dkim;
}

int main(void) {
  postern_dkim_key* key = NULL;
  postern_dkim_key* again = NULL;
  postern_dkim_signer* signer = NULL;
  postern_dkim_sign_options how = POSTERN_DKIM_SIGN_OPTIONS_INIT;
  postern_resolver* resolver = NULL;
  postern_resolver* failing = NULL;
  postern_resolver_callbacks callbacks = POSTERN_RESOLVER_CALLBACKS_INIT;
  postern_dkim_verifier* verifier = NULL;
  postern_dkim* dkim = NULL;
  postern_arc_options seal = POSTERN_ARC_OPTIONS_INIT;
  postern_arc_reader* reader = NULL;
  postern_arc* arc = NULL;
  postern_error* error = NULL;
  postern_str fields;
  const char* line;
  char message[8192];

  expect(postern_dkim_key_new_pem(&key, "hello", 5, &error) == POSTERN_ERR_INVALID_ARGUMENT,
         "no key in it");
  expect(strstr(postern_error_message(error), "no private key") != NULL, "it says so");
  postern_error_free(error);
  expect(postern_dkim_key_generate(&key, POSTERN_DKIM_KEY_RSA, 1024, NULL) ==
             POSTERN_ERR_INVALID_ARGUMENT,
         "too short a key");
  expect(postern_dkim_key_generate(&key, POSTERN_DKIM_KEY_RSA, 0, NULL) == POSTERN_OK, "a key");
  expect(postern_dkim_key_bits(key) == 2048, "2048 bits");
  expect(postern_dkim_key_new_pem(&again, postern_dkim_key_pem(key),
                                  strlen(postern_dkim_key_pem(key)), NULL) == POSTERN_OK,
         "read again");
  expect_text(postern_dkim_key_record(again), postern_dkim_key_record(key));
  line = postern_dkim_key_zone_line(key,
                                    "b\xC3\xBC"
                                    "cher.example",
                                    "s");
  expect(strncmp(line, "s._domainkey.xn--bcher-kva.example. ", 36) == 0, "A-labels in a zone");
  expect(*postern_dkim_key_zone_line(key, "bad domain", "s") == '\0', "no name, no line");
  line = postern_dkim_key_zone_line(key, "example.org", "s");
  expect(strncmp(line, "s._domainkey.example.org. IN TXT (", 34) == 0, "a zone line");
  expect(postern_resolver_new_zone(&resolver, line, strlen(line), NULL) == POSTERN_OK, "a zone");

  how.now_unix_s = 1700000000;
  expect(postern_dkim_signer_new(&signer, &how, NULL) == POSTERN_OK, "a signer");
  expect(postern_dkim_signer_add_key(signer, key, "example.org", "", NULL, NULL) ==
             POSTERN_ERR_INVALID_ARGUMENT,
         "no selector");
  expect(postern_dkim_signer_add_key(signer, key, "example.org", "s", "@example.org", NULL) ==
             POSTERN_OK,
         "a key added");
  expect(postern_dkim_signer_feed(signer, kMessage, 10, NULL) == POSTERN_OK, "a piece");
  expect(
      postern_dkim_signer_add_key(signer, key, "example.org", "s", NULL, NULL) == POSTERN_ERR_BUSY,
      "too late");
  expect(postern_dkim_signer_feed(signer, kMessage + 10, strlen(kMessage) - 10, NULL) == POSTERN_OK,
         "the rest");
  expect(postern_dkim_signer_finish(signer, &fields, NULL) == POSTERN_OK, "signed");
  snprintf(message, sizeof message, "%.*s%s", (int)fields.len, fields.data, kMessage);
  postern_dkim_signer_free(signer);

  dkim = verify(message, resolver);
  expect(postern_dkim_result(dkim) == POSTERN_DKIM_PASS, "it passes");
  expect_text(postern_dkim_result_name(dkim), "pass");
  expect_text(postern_dkim_reason(dkim), "good");
  expect(postern_dkim_signature_count(dkim) == 1, "one signature");
  expect_text(postern_dkim_signature_domain(dkim, 0), "example.org");
  expect_text(postern_dkim_signature_selector(dkim, 0), "s");
  expect_text(postern_dkim_signature_algorithm(dkim, 0), "rsa-sha256");
  expect(postern_dkim_signature_key_bits(dkim, 0) == 2048, "of 2048 bits");
  expect_text(postern_dkim_signature_domain(dkim, 1), "");
  expect(strstr(postern_dkim_json(dkim), "\"result\": \"pass\"") != NULL, "JSON");
  postern_dkim_free(dkim);

  callbacks.on_query = fail_query;
  expect(postern_resolver_new_callback(&failing, &callbacks, NULL) == POSTERN_OK, "a callback");
  expect(postern_dkim_verifier_new(&verifier, NULL, NULL) == POSTERN_OK, "a verifier");
  expect(postern_dkim_verifier_feed(verifier, message, strlen(message), NULL) == POSTERN_OK,
         "feed");
  expect(postern_dkim_verifier_finish(verifier, failing, &dkim, &error) == POSTERN_ERR_CALLBACK,
         "the callback's failure");
  expect(postern_error_callback_status(error) == POSTERN_ERR_TIMEOUT, "its status");
  postern_error_free(error);
  postern_dkim_verifier_free(verifier);

  seal.key = key;
  seal.domain = "example.org";
  seal.selector = "s";
  seal.results = "dkim=pass header.d=example.org";
  expect(postern_arc_reader_new(&reader, &seal, NULL) == POSTERN_OK, "a reader");
  expect(postern_arc_reader_feed(reader, message, strlen(message), NULL) == POSTERN_OK, "feed");
  expect(postern_arc_reader_seal(reader, &fields, NULL) == POSTERN_ERR_BUSY, "not validated yet");
  expect(postern_arc_reader_finish(reader, resolver, &arc, NULL) == POSTERN_OK, "finish");
  expect(postern_arc_result(arc) == POSTERN_ARC_NONE, "no chain");
  postern_arc_free(arc);
  expect(postern_arc_reader_seal(reader, &fields, NULL) == POSTERN_OK, "sealed");
  memmove(message + fields.len, message, strlen(message) + 1);
  memcpy(message, fields.data, fields.len);
  postern_arc_reader_free(reader);
  expect(postern_arc_reader_new(&reader, NULL, NULL) == POSTERN_OK, "a reader");
  expect(postern_arc_reader_feed(reader, message, strlen(message), NULL) == POSTERN_OK, "feed");
  expect(postern_arc_reader_finish(reader, resolver, &arc, NULL) == POSTERN_OK, "finish");
  expect(postern_arc_result(arc) == POSTERN_ARC_PASS, "a chain");
  expect(postern_arc_set_count(arc) == 1, "of one set");
  expect_text(postern_arc_set_domain(arc, 0), "example.org");
  expect_text(postern_arc_set_results(arc, 0), "example.org; dkim=pass header.d=example.org");
  expect(postern_arc_reader_seal(reader, &fields, NULL) == POSTERN_ERR_INVALID_ARGUMENT, "no key");
  postern_arc_free(arc);
  postern_arc_reader_free(reader);

  postern_dkim_free(NULL);
  postern_arc_free(NULL);
  postern_dkim_key_free(key);
  postern_dkim_key_free(again);
  postern_resolver_free(resolver);
  postern_resolver_free(failing);
  return 0;
}

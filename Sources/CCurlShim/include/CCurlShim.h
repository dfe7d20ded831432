// Typed names for libcurl's variadic calls, which Swift cannot make: one function per kind of argument, and nothing else.
#ifndef CCURLSHIM_H
#define CCURLSHIM_H

#include <curl/curl.h>

/// Once per process, before anything else. CURLE_OK (0) when libcurl can be used.
CURLcode ccurl_global_init(void);

CURLcode ccurl_set_long(CURL *easy, CURLoption option, long value);
CURLcode ccurl_set_offset(CURL *easy, CURLoption option, curl_off_t value);
/// libcurl copies the text.
CURLcode ccurl_set_text(CURL *easy, CURLoption option, const char *value);
/// The list stays the caller's and must outlive the transfer.
CURLcode ccurl_set_list(CURL *easy, CURLoption option, struct curl_slist *value);
CURLcode ccurl_set_pointer(CURL *easy, CURLoption option, const void *value);

/// Each sets a callback together with what it is given as its context.
CURLcode ccurl_set_write(CURL *easy, curl_write_callback callback, void *context);
CURLcode ccurl_set_header(CURL *easy, curl_write_callback callback, void *context);
CURLcode ccurl_set_open_socket(CURL *easy, curl_opensocket_callback callback, void *context);
CURLcode ccurl_set_prerequest(CURL *easy, curl_prereq_callback callback, void *context);

/// 0 where libcurl does not know.
long ccurl_info_long(CURL *easy, CURLINFO what);
void *ccurl_info_private(CURL *easy);

CURLMcode ccurl_multi_set_long(CURLM *multi, CURLMoption option, long value);
/// The result of a finished transfer, which C keeps in a union.
CURLcode ccurl_message_result(const CURLMsg *message);

#endif

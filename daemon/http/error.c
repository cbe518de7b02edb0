/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "error.h"

const char *const http_error_str[_HTTP_ERROR_MAX] = {
    [HTTP_OK] = "ok",
    [HTTP_BAD_METHOD] = "bad_method",
    [HTTP_BAD_TARGET] = "bad_target",
    [HTTP_URI_TOO_LONG] = "uri_too_long",
    [HTTP_BAD_VERSION] = "bad_version",
    [HTTP_UNSUPPORTED_VERSION] = "unsupported_version",
    [HTTP_BAD_STATUS] = "bad_status",
    [HTTP_BAD_REASON] = "bad_reason",
    [HTTP_BARE_CR] = "bare_cr",
    [HTTP_BARE_LF] = "bare_lf",
    [HTTP_OBS_FOLD] = "obs_fold",
    [HTTP_SPACE_BEFORE_COLON] = "space_before_colon",
    [HTTP_BAD_NAME] = "bad_name",
    [HTTP_BAD_VALUE] = "bad_value",
    [HTTP_HEAD_TOO_LARGE] = "head_too_large",
    [HTTP_TOO_MANY_FIELDS] = "too_many_fields",
    [HTTP_NO_HOST] = "no_host",
    [HTTP_TWO_HOSTS] = "two_hosts",
    [HTTP_BAD_HOST] = "bad_host",
    [HTTP_TWO_LENGTHS] = "two_lengths",
    [HTTP_BAD_LENGTH] = "bad_length",
    [HTTP_LENGTH_AND_CHUNKED] = "length_and_chunked",
    [HTTP_BAD_TRANSFER_ENCODING] = "bad_transfer_encoding",
    [HTTP_UNKNOWN_TRANSFER_ENCODING] = "unknown_transfer_encoding",
    [HTTP_CHUNKED_IN_1_0] = "chunked_in_1_0",
    [HTTP_BAD_CONNECTION] = "bad_connection",
    [HTTP_BAD_MAX_FORWARDS] = "bad_max_forwards",
    [HTTP_BAD_CHUNK_SIZE] = "bad_chunk_size",
    [HTTP_BAD_CHUNK_EXTENSION] = "bad_chunk_extension",
    [HTTP_CHUNK_LINE_TOO_LONG] = "chunk_line_too_long",
    [HTTP_BAD_CHUNK_END] = "bad_chunk_end",
    [HTTP_BAD_TRAILER] = "bad_trailer",
    [HTTP_TRAILERS_TOO_LARGE] = "trailers_too_large",
    [HTTP_TOO_MANY_INTERIM] = "too_many_interim",
    [HTTP_UNASKED] = "unasked",
};

int http_error_status(enum http_error error)
{
	switch (error) {
	case HTTP_URI_TOO_LONG:
		return 414;
	case HTTP_HEAD_TOO_LARGE:
	case HTTP_TOO_MANY_FIELDS:
		return 431;
	case HTTP_UNKNOWN_TRANSFER_ENCODING:
		return 501;
	case HTTP_UNSUPPORTED_VERSION:
		return 505;
	default:
		return 400;
	}
}

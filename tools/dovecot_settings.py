#!/usr/bin/env python3
# Copyright (c) 2026 the postamt.mail authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask the real Dovecot of each release, with all of its packages, for its settings, and write them as data.

2.4 lists every setting there is. 2.3 does not know what may stand in `plugin {}`: plugins look their settings up by
name, so the names below are those of its documentation, each of which must stand in one of the installed modules.
"""

from __future__ import annotations

import json
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = ROOT / "plugins/plugin_utils/_programs/dovecot_settings.json"
RELEASES = {"bookworm": "2.3", "trixie": "2.4"}
PACKAGES = {
    "bookworm": "dovecot-auth-lua dovecot-fts-xapian dovecot-gssapi dovecot-mysql dovecot-solr dovecot-submissiond",
    "trixie": "dovecot-auth-lua dovecot-flatcurve dovecot-gssapi dovecot-mysql dovecot-solr dovecot-submissiond",
}
# One block of each kind, so that doveconf shows what may stand in it.
BLOCKS = {
    "bookworm": """
protocols = imap pop3 lmtp sieve submission
namespace inbox {
  inbox = yes
  mailbox Junk {
    auto = no
  }
}
passdb {
  driver = static
}
userdb {
  driver = static
}
metric one {
  filter = event=auth_request_finished
}
event_exporter one {
  transport = log
  format = json
  format_args = time-rfc3339
}
""",
    "trixie": """dovecot_config_version = 2.4.1
dovecot_storage_version = 2.4.1
""",
}
# plugin {} of 2.3 (doc.dovecot.org/2.3/settings/plugin, Pigeonhole's included); # is a number, * any name.
PLUGIN = """
acl acl_anyone acl_defaults_from_inbox acl_globals_only acl_groups acl_ignore_namespace acl_ignore_namespace#
acl_shared_dict acl_user apparmor_hat apparmor_hat# charset_aliases
fts fts_autoindex fts_autoindex_exclude fts_autoindex_exclude# fts_autoindex_max_recent_msgs fts_decoder fts_enforced
fts_filters fts_filters_* fts_header_excludes fts_header_includes fts_index_timeout fts_language_config fts_languages
fts_solr fts_squat fts_tika fts_tokenizer_* fts_tokenizers fts_tokenizers_* fts_xapian
imapsieve_expunge_discarded imapsieve_url
last_login_dict last_login_key last_login_precision lazy_expunge lazy_expunge_exclude lazy_expunge_exclude#
lazy_expunge_only_last_instance listescape_char mail_crypt_acl_require_secure_key_sharing mail_crypt_curve
mail_crypt_private_key mail_crypt_private_password mail_crypt_require_encrypted_user_key mail_crypt_save_version
mail_log_cached_only mail_log_events mail_log_fields mail_lua_script mail_replica
old_stats_refresh old_stats_track_cmds pop3_deleted_flag pop3_migration_all_mailboxes
pop3_migration_ignore_extra_uidls pop3_migration_ignore_missing_uidls pop3_migration_mailbox
pop3_migration_skip_size_check pop3_migration_skip_uidl_cache push_notification_driver push_notification_driver#
push_notification_lua_script_file
quota quota# quota_clone_dict quota_exceeded_message quota_max_mail_size quota_vsizes
sieve sieve_after sieve_after# sieve_before sieve_before# sieve_default sieve_default_name sieve_dir
sieve_discard sieve_duplicate_default_period sieve_duplicate_max_period sieve_editheader_forbid_add
sieve_editheader_forbid_delete sieve_editheader_max_header_size sieve_editheader_protected sieve_enabled
sieve_extensions sieve_global sieve_global_dir sieve_global_extensions sieve_global_path sieve_implicit_extensions
sieve_include_max_includes sieve_include_max_nesting_depth sieve_max_actions sieve_max_cpu_time sieve_max_redirects
sieve_max_script_size sieve_notify_mailto_envelope_from sieve_plugin_dir sieve_plugins sieve_quota_max_scripts
sieve_quota_max_storage sieve_redirect_duplicate_period sieve_redirect_envelope_from sieve_resource_usage_timeout
sieve_trace_addresses sieve_trace_debug sieve_trace_dir sieve_trace_level sieve_user_email sieve_user_log
sieve_vacation_default_period sieve_vacation_dont_check_recipient sieve_vacation_max_period sieve_vacation_min_period
sieve_vacation_send_from_recipient sieve_vacation_to_header_ignore_envelope sieve_vacation_use_original_recipient
sieve_variables_max_scope_size sieve_variables_max_variable_size trash virtual_max_open_mailboxes
welcome_script welcome_wait zlib_save zlib_save_level
"""
# The same, put together by the plugin from parts, so that no module holds the whole name.
COMPOSED = """
acl_ignore# imapsieve_mailbox#_after imapsieve_mailbox#_before imapsieve_mailbox#_causes imapsieve_mailbox#_from
imapsieve_mailbox#_name mail_crypt_global_private_key mail_crypt_global_private_key#
mail_crypt_global_private_key_password mail_crypt_global_private_key#_password mail_crypt_global_public_key
quota_grace quota#_grace quota_over_flag quota_over_flag_lazy_check quota_over_flag_value quota_over_script
quota_rule quota_rule# quota#_rule quota#_rule# quota_status_nouser quota_status_overquota quota_status_success
quota_status_toolarge quota_warning quota_warning# quota#_warning quota#_warning#
sieve_execute_bin_dir sieve_execute_exec_timeout sieve_execute_input_eol sieve_execute_socket_dir
sieve_filter_bin_dir sieve_filter_exec_timeout sieve_filter_input_eol sieve_filter_socket_dir
sieve_pipe_bin_dir sieve_pipe_exec_timeout sieve_pipe_input_eol sieve_pipe_socket_dir
sieve_env_* sieve_ldap_uris sieve_spamtest_max_header sieve_spamtest_max_value sieve_spamtest_status_header
sieve_spamtest_status_type sieve_spamtest_text_value# sieve_subaddress_sep sieve_virustest_max_header
sieve_virustest_max_value sieve_virustest_status_header sieve_virustest_status_type sieve_virustest_text_value#
"""


def ask(release: str) -> tuple[str, set[str]]:
    """Return what `doveconf -a` prints, and every word in the modules of plugins."""
    script = f"""
        export DEBIAN_FRONTEND=noninteractive; exec 3>&1 >&2
        printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d
        apt-get -qq update && apt-get -qq install --yes --no-install-recommends {PACKAGES[release]}
        cat >/tmp/all.conf; doveconf -a -c /tmp/all.conf >&3
        echo '=====' >&3
        find /usr/lib/dovecot -type f | xargs grep -aohE '[a-z_%0-9]{{3,}}' | sort -u >&3
    """
    command = ["podman", "run", "--rm", "-i", f"localhost/postamt-test:{release}", "sh", "-ec", script]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, input=BLOCKS[release]).stdout
    settings, _line, words = answer.partition("=====\n")
    return settings, set(words.split())


def names(settings: str) -> dict[str, list[str]]:
    """Return the settings by the kind of block in which they stand; "" is the top."""
    found: dict[str, set[str]] = {"": set()}
    kinds = [""]
    for line in settings.splitlines():
        opened = re.match(r"\s*(\w+)( .+)? \{$", line)
        assigned = re.match(r"\s*([\w/.:-]+) =", line)
        if line.strip() == "}":
            kinds.pop()
        elif opened:
            found[kinds[-1]].add(opened[1])
            kinds.append(opened[1])
            found.setdefault(opened[1], set())
        elif assigned:
            found[kinds[-1]].add(assigned[1])
    return {kind: sorted(found[kind]) for kind in sorted(found)}


def plugin_names(words: set[str]) -> list[str]:
    """Return the names for plugin {}; one that no module holds is a mistake in this file."""
    written = {re.sub(r"%[uds]$", "", word) for word in words}
    wrong = [name for name in PLUGIN.split() if not any(w.startswith(name.rstrip("#*")) for w in written)]
    if wrong:
        raise SystemExit(f"no module of Dovecot 2.3 holds: {', '.join(wrong)}")
    return sorted({*PLUGIN.split(), *COMPOSED.split()})


def main() -> None:
    found = {}
    for release, version in RELEASES.items():
        settings, words = ask(release)
        found[version] = names(settings)
        if version == "2.3":
            found[version]["plugin"] = plugin_names(words)
    TARGET.write_text(json.dumps(found, indent=0, sort_keys=True) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()

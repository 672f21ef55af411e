"""The permissions of staff."""

from chat.models import User

SEE, MANAGE, READ = "chat.view_agentsession", "chat.manage_agentsession", "chat.view_session_items"
SEE_RUNS, RUN = "sessions_admin.view_cleanuprun", "sessions_admin.run_cleanup"

# Staff who may manage sessions or clean-ups may view them.
SEE_SESSIONS = (SEE, MANAGE, READ)
SEE_CLEANUPS = (SEE_RUNS, RUN)


def may(user: User, *permissions: str) -> bool:
    """Return whether a user is staff and has one of these permissions."""
    return user.is_staff and any(map(user.has_perm, permissions))

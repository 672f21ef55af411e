"""The URLs of the chat's pages."""

from django.contrib.auth import views as auth_views
from django.urls import path

from chat.web import listing_views, search_views, token_views, views

urlpatterns = [
    path("", views.home, name="home"),
    path("c/<uuid:conversation_id>/", views.conversation, name="conversation"),
    path("c/<uuid:conversation_id>/state/", views.conversation_state, name="conversation_state"),
    path("c/<uuid:conversation_id>/turns/", views.earlier_turns, name="earlier_turns"),
    path("c/<uuid:conversation_id>/versions/<uuid:turn_id>/", views.version, name="version"),
    path("c/<uuid:conversation_id>/shelf/", listing_views.apply_action, name="conversation_action"),
    path("c/<uuid:conversation_id>/rename/", listing_views.rename, name="rename"),
    path("c/<uuid:conversation_id>/model/", listing_views.choose_model, name="model"),
    path("search/", search_views.search, name="search"),
    path("chats/", listing_views.chats, name="chats"),
    path("trash/", listing_views.trash, name="trash"),
    path("trash/keep/", listing_views.keep_all, name="keep_all"),
    path("trash/empty/", listing_views.empty, name="empty_trash"),
    path("trash/<uuid:conversation_id>/", listing_views.delete, name="delete"),
    path("archive/", listing_views.archive, name="archive"),
    path("state/", views.home_state, name="home_state"),
    path("settings/", views.account_settings, name="settings"),
    path("settings/email/<str:token>/", views.change_email_by_link, name="change_email"),
    path("settings/tokens/", token_views.manage_tokens, name="tokens"),
    path("settings/tokens/<uuid:token_id>/revoke/", token_views.revoke, name="revoke_token"),
    path("accounts/signup/", views.SignUp.as_view(), name="signup"),
    path("accounts/signup/<str:token>/", views.SignUpByLink.as_view(), name="signup"),
    path("accounts/login/", views.SignIn.as_view(), name="login"),
    path("accounts/logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("accounts/password/", views.ChangePassword.as_view(), name="password_change"),
    path("accounts/reset/", views.ResetPassword.as_view(), name="password_reset"),
    path(
        "accounts/reset/sent/",
        auth_views.PasswordResetDoneView.as_view(template_name="accounts/password_reset_done.html"),
        name="password_reset_done",
    ),
    path("accounts/reset/<uidb64>/<token>/", views.ResetPasswordConfirm.as_view(), name="password_reset_confirm"),
]

{{- define "threadkeeper.name" -}}
{{- if eq .Release.Name .Chart.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "threadkeeper.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "threadkeeper.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "threadkeeper.secret" -}}
{{- .Values.existingSecret | default (printf "%s-settings" (include "threadkeeper.name" .)) }}
{{- end }}

{{/* What the pods of servers, of the worker and of the migrations have in common. */}}
{{- define "threadkeeper.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: settings
    secret:
      secretName: {{ include "threadkeeper.secret" . }}
      items: [{key: settings.env, path: settings.env}]
  - name: tmp
    emptyDir: {}
  - name: data
    {{- if eq .Values.sessionStore "file" }}
    persistentVolumeClaim:
      claimName: {{ include "threadkeeper.name" . }}
    {{- else }}
    emptyDir: {}
    {{- end }}
{{- end }}

{{- define "threadkeeper.container" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
env:
  - name: PUBLIC_URL
    value: https://{{ .Values.host }}{{ .Values.rootPath }}
  - name: ENV_FILE
    value: /run/secrets/threadkeeper/settings.env
  - name: AGENT_SESSION_STORE
    value: {{ .Values.sessionStore }}
  - name: LOG_FORMAT
    value: json
volumeMounts:
  - {name: settings, mountPath: /run/secrets/threadkeeper, readOnly: true}
  - {name: tmp, mountPath: /tmp}
  - {name: data, mountPath: /data}
{{- end }}

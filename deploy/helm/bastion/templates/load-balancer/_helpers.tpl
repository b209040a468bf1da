{{- define "bastion.lb" }}{{ include "bastion.fullname" . }}-lb{{ end }}
{{- define "bastion.lb.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}-lb
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "bastion.lb.labels" -}}
{{ include "bastion.lb.selector" . }}
{{ include "bastion.release" . }}
{{- end }}

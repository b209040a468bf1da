{{- define "bastion.node" }}{{ include "bastion.fullname" . }}-node{{ end }}
{{- define "bastion.node.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}-node
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "bastion.node.labels" -}}
{{ include "bastion.node.selector" . }}
{{ include "bastion.release" . }}
{{- end }}

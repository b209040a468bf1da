{{/* of (path, value): `required` lets an empty list pass */}}
{{- define "bastion.needs" -}}
{{- if not (index . 1) }}{{ fail (printf "%s is needed by what is switched on" (index . 0)) }}{{ end }}
{{- end }}

{{- define "bastion.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 48 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}{{ .Release.Name | trunc 48 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" }}{{ end }}
{{- end }}
{{- end }}

{{- define "bastion.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "bastion.labels" -}}
{{ include "bastion.selector" . }}
{{ include "bastion.release" . }}
{{- end }}

{{- define "bastion.release" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "bastion.serviceAccount" -}}
{{ default (include "bastion.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- define "bastion.tlsSecret" -}}
{{ default (printf "%s-tls" (include "bastion.fullname" .)) .Values.certificate.secretName }}
{{- end }}

{{- define "bastion.sessionSecret" -}}
{{ default (printf "%s-session" (include "bastion.fullname" .)) .Values.session.secretName }}
{{- end }}

{{/* of (image, appVersion) */}}
{{- define "bastion.image" -}}
{{- $image := index . 0 }}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}
{{- else }}{{ $image.repository }}:{{ default (index . 1) $image.tag }}{{ end }}
{{- end }}

{{/* One a line.  `*` stands for one label, so services and pods need a wildcard each. */}}
{{- define "bastion.dnsNames" -}}
{{- $service := include "bastion.fullname" . }}
{{- $names := list (printf "%s.%s.svc" $service .Release.Namespace) }}
{{- with .Values.hostNames.publicURL }}{{ $names = append $names (urlParse .).hostname }}{{ end }}
{{- with .Values.hostNames.suffix }}{{ $names = concat $names (list (printf "*.svc.%s" .) (printf "*.pod.%s" .)) }}{{ end }}
{{- concat $names .Values.certificate.dnsNames .Values.ingress.hosts .Values.httpRoute.hostnames | uniq | join "\n" }}
{{- end }}

{{/* of (root, name of the account, namespace): a binding's subject */}}
{{- define "bastion.subject" -}}
- kind: ServiceAccount
  name: {{ index . 0 }}
  namespace: {{ index . 1 }}
{{- end }}

{{/* of (root, name, rules as YAML): a ClusterRole bound to the bastion */}}
{{- define "bastion.granted" -}}
{{- $root := index . 0 }}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ index . 1 }}
  labels: {{- include "bastion.labels" $root | nindent 4 }}
rules: {{- index . 2 | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ index . 1 }}
  labels: {{- include "bastion.labels" $root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ index . 1 }}
subjects: {{- include "bastion.subject" (list (include "bastion.serviceAccount" $root) $root.Release.Namespace) | nindent 2 }}
{{- end }}

{{/* Flags of what is switched on, one a line. */}}
{{- define "bastion.switches" -}}
{{- $name := include "bastion.fullname" . }}
{{- if ne $name "bastion" }}
- --probe-lease={{ .Release.Namespace }}/{{ $name }}-probes
{{- end }}
{{- if .Values.config }}
- --config=/etc/bastion/config/bastion.yaml
{{- end }}
{{- if .Values.session.shareEnded }}
- --sign-in-revocations={{ .Release.Namespace }}/{{ $name }}-ended
{{- end }}
{{- with .Values.hostNames.suffix }}
- --proxy-host-suffix={{ . }}
{{- end }}
{{- with .Values.hostNames.publicURL }}
- --public-url={{ . }}
{{- end }}
{{- if .Values.nodes.enabled }}
- --enable-node-proxy
{{- end }}
{{- if .Values.passThrough.enabled }}
- --pass-through
- --discover-apiservers
{{- if .Values.passThrough.impersonate }}
- --pass-through-identity=impersonate
{{- end }}
{{- end }}
{{- if .Values.audit.enabled }}
- --audit-policy-file=/etc/bastion/audit/policy.yaml
- --audit-log-path=/var/log/bastion/audit.log
- --audit-log-mode=batch
- --audit-log-maxbackup=8
{{- end }}
{{- if .Values.probing.modules }}
- --probe-config-file=/etc/bastion/probes/probes.yaml
{{- end }}
{{- if not .Values.probing.schedule }}
- --probe-schedule=false
{{- end }}
{{- end }}

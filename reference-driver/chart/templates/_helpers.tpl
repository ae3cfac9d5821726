{{/* The name of namespaced objects. */}}
{{- define "driver.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The name of objects outside the release's namespace; the namespace is in it, so that releases live side by side. */}}
{{- define "driver.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "driver.fullname" .) | trunc 253 | trimSuffix "-" -}}
{{- end -}}

{{- define "driver.selectorLabels" -}}
app.kubernetes.io/name: sandproof-reference-driver
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "driver.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "driver.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "driver.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "driver.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "driver.sandboxNamespace" -}}
{{- default .Release.Namespace .Values.server.sandboxNamespace -}}
{{- end -}}

{{- define "driver.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{- define "driver.supervisorImage" -}}
{{- $tag := default (default .Chart.AppVersion .Values.image.tag) .Values.supervisor.image.tag -}}
{{- printf "%s:%s" .Values.supervisor.image.repository $tag -}}
{{- end -}}

{{/*
The side-load method. Empty chooses by the API server's version; `-0` lets pre-releases and vendor suffixes of 1.35 count.
Anything else is left to the driver, which names both methods when it refuses.
*/}}
{{- define "driver.sideloadMethod" -}}
{{- if .Values.supervisor.sideloadMethod -}}
{{- .Values.supervisor.sideloadMethod -}}
{{- else if semverCompare ">=1.35-0" .Capabilities.KubeVersion.Version -}}
image-volume
{{- else -}}
init-container
{{- end -}}
{{- end -}}

{{/* The sandboxes' pull secrets as one comma-separated list: objects or strings, blanks skipped. */}}
{{- define "driver.sandboxImagePullSecrets" -}}
{{- $names := list -}}
{{- range .Values.server.sandboxImagePullSecrets -}}
{{- $name := "" -}}
{{- if kindIs "map" . -}}
{{- $name = trim (toString .name) -}}
{{- else -}}
{{- $name = trim (toString .) -}}
{{- end -}}
{{- if $name -}}
{{- $names = append $names $name -}}
{{- end -}}
{{- end -}}
{{- join "," $names -}}
{{- end -}}

{{/* Refuses a cluster without the Sandbox API. */}}
{{- define "driver.preflight" -}}
{{- if .Values.agentSandbox.preflight.enabled -}}
{{- $served := or (.Capabilities.APIVersions.Has "agents.x-k8s.io/v1beta1") (.Capabilities.APIVersions.Has "agents.x-k8s.io/v1alpha1") -}}
{{- if not $served -}}
{{- fail "the CRD sandboxes.agents.x-k8s.io is missing: the cluster serves neither agents.x-k8s.io/v1beta1 nor agents.x-k8s.io/v1alpha1. Install Agent Sandbox first (https://github.com/kubernetes-sigs/agent-sandbox), or set agentSandbox.preflight.enabled=false to render without a cluster." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The driver's environment: unset values are left to the driver, and extraEnv replaces what it names. */}}
{{- define "driver.environment" -}}
{{- $extra := list -}}
{{- range .Values.extraEnv -}}
{{- $extra = append $extra .name -}}
{{- end -}}
{{- $server := .Values.server -}}
{{- $pairs := list
  (list "OPENSHELL_LOG_LEVEL" $server.logLevel)
  (list "OPENSHELL_GATEWAY_ID" (default .Release.Name $server.gatewayId))
  (list "OPENSHELL_SANDBOX_NAMESPACE" (include "driver.sandboxNamespace" .))
  (list "OPENSHELL_K8S_SANDBOX_SERVICE_ACCOUNT" .Values.sandboxServiceAccount.name)
  (list "OPENSHELL_SANDBOX_IMAGE" $server.sandboxImage)
  (list "OPENSHELL_SANDBOX_IMAGE_PULL_POLICY" $server.sandboxImagePullPolicy)
  (list "OPENSHELL_SANDBOX_IMAGE_PULL_SECRETS" (include "driver.sandboxImagePullSecrets" .))
  (list "OPENSHELL_SUPERVISOR_IMAGE" (include "driver.supervisorImage" .))
  (list "OPENSHELL_SUPERVISOR_IMAGE_PULL_POLICY" .Values.supervisor.image.pullPolicy)
  (list "OPENSHELL_SUPERVISOR_SIDELOAD_METHOD" (include "driver.sideloadMethod" .))
  (list "OPENSHELL_K8S_TERMINATION_GRACE_SECONDS" (toString $server.terminationGracePeriodSeconds))
  (list "OPENSHELL_GRPC_ENDPOINT" $server.grpcEndpoint)
  (list "OPENSHELL_K8S_DEFAULT_RUNTIME_CLASS_NAME" $server.defaultRuntimeClassName)
-}}
{{- range $pairs }}
{{- if and (last .) (not (has (first .) $extra)) }}
- name: {{ first . }}
  value: {{ last . | quote }}
{{- end }}
{{- end }}
{{- end -}}

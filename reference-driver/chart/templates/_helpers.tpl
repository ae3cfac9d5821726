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

{{- define "driver.workspaceMode" -}}
{{- .Values.server.drivers.kubernetes.workspaceMode -}}
{{- end -}}

{{- define "driver.gatewayId" -}}
{{- coalesce .Values.server.sandboxJwt.gatewayId .Values.server.gatewayId .Release.Name -}}
{{- end -}}

{{- define "driver.sandboxServiceAccountName" -}}
{{- if .Values.sandboxServiceAccount.create -}}
{{- default (printf "%s-sandbox" (include "driver.fullname" . | trunc 55 | trimSuffix "-")) .Values.sandboxServiceAccount.name -}}
{{- else -}}
{{- default "default" .Values.sandboxServiceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "driver.gatewayNamespace" -}}
{{- default .Release.Namespace .Values.networkPolicy.gatewayNamespace -}}
{{- end -}}

{{/* The labels of the gateway's pods as one comma-separated list, in the order of their keys. */}}
{{- define "driver.gatewayPodSelector" -}}
{{- $pairs := list -}}
{{- range $key, $value := .Values.networkPolicy.gatewayPodSelector -}}
{{- $pairs = append $pairs (printf "%s=%s" $key $value) -}}
{{- end -}}
{{- join "," $pairs -}}
{{- end -}}

{{/* Where the list of allowed namespaces is in the driver's container; empty unless there is one. */}}
{{- define "driver.operatorNamespaceFile" -}}
{{- $driver := .Values.server.drivers.kubernetes -}}
{{- if and $driver.operatorNamespaces $driver.operatorNamespaceFile -}}
{{- fail "server.drivers.kubernetes: operatorNamespaces and operatorNamespaceFile exclude each other; give one of them." -}}
{{- end -}}
{{- if $driver.operatorNamespaces -}}
/etc/openshell/operator/namespaces
{{- else -}}
{{- $driver.operatorNamespaceFile -}}
{{- end -}}
{{- end -}}

{{/* Refuses values that contradict each other; the driver would refuse to start with them. */}}
{{- define "driver.checkMode" -}}
{{- $driver := .Values.server.drivers.kubernetes -}}
{{- $allowed := or $driver.operatorNamespaceLabel (include "driver.operatorNamespaceFile" .) -}}
{{- if and (eq $driver.workspaceMode "operator") (not $allowed) -}}
{{- fail "server.drivers.kubernetes.workspaceMode is operator, but nothing says which namespaces are allowed: set operatorNamespaceLabel, operatorNamespaces or operatorNamespaceFile beside it." -}}
{{- end -}}
{{- if and (ne $driver.workspaceMode "operator") $allowed -}}
{{- fail (printf "server.drivers.kubernetes.workspaceMode is %s, but allowed namespaces are given: they are for mode operator only." $driver.workspaceMode) -}}
{{- end -}}
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

{{/* The Secrets that the driver copies into workspaces' namespaces, as the elements of a YAML list; empty where there are none. */}}
{{- define "driver.copiedSecrets" -}}
{{- $mode := include "driver.workspaceMode" . -}}
{{- $names := list -}}
{{- if eq $mode "managed" -}}
{{- $names = splitList "," (include "driver.sandboxImagePullSecrets" .) -}}
{{- end -}}
{{- if ne $mode "shared" -}}
{{- $names = append $names .Values.server.clientTlsSecretName -}}
{{- end -}}
{{- $quoted := list -}}
{{- range $names | compact | uniq -}}
{{- $quoted = append $quoted (quote .) -}}
{{- end -}}
{{- join ", " $quoted -}}
{{- end -}}

{{- define "driver.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "driver.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* What the driver's container mounts; nothing where there is nothing. */}}
{{- define "driver.volumeMounts" -}}
{{- $namespaces := .Values.server.drivers.kubernetes.operatorNamespaces -}}
{{- if or $namespaces .Values.extraVolumeMounts }}
volumeMounts:
  {{- if $namespaces }}
  - name: operator-namespaces
    mountPath: /etc/openshell/operator
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "driver.volumes" -}}
{{- $namespaces := .Values.server.drivers.kubernetes.operatorNamespaces -}}
{{- if or $namespaces .Values.extraVolumes }}
volumes:
  {{- if $namespaces }}
  - name: operator-namespaces
    configMap:
      name: {{ include "driver.fullname" . }}-operator-namespaces
  {{- end }}
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* What the driver does to sandboxes, wherever they are. */}}
{{- define "driver.sandboxRules" -}}
# patch is for stopping and starting.
- apiGroups: [agents.x-k8s.io]
  resources: [sandboxes]
  verbs: [create, delete, list, patch, watch]
# create is for the dry run that tells whether the cluster keeps an image volume.
- apiGroups: [""]
  resources: [pods]
  verbs: [create, list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [list, watch]
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
  (list "OPENSHELL_WORKSPACE_MODE" (include "driver.workspaceMode" .))
  (list "OPENSHELL_OPERATOR_NAMESPACE_LABEL" $server.drivers.kubernetes.operatorNamespaceLabel)
  (list "OPENSHELL_OPERATOR_NAMESPACE_FILE" (include "driver.operatorNamespaceFile" .))
  (list "OPENSHELL_GATEWAY_ID" (include "driver.gatewayId" .))
  (list "OPENSHELL_SANDBOX_NAMESPACE" (include "driver.sandboxNamespace" .))
  (list "OPENSHELL_K8S_SANDBOX_SERVICE_ACCOUNT" (include "driver.sandboxServiceAccountName" .))
  (list "OPENSHELL_SANDBOX_IMAGE" $server.sandboxImage)
  (list "OPENSHELL_SANDBOX_IMAGE_PULL_POLICY" $server.sandboxImagePullPolicy)
  (list "OPENSHELL_SANDBOX_IMAGE_PULL_SECRETS" (include "driver.sandboxImagePullSecrets" .))
  (list "OPENSHELL_SUPERVISOR_IMAGE" (include "driver.supervisorImage" .))
  (list "OPENSHELL_SUPERVISOR_IMAGE_PULL_POLICY" .Values.supervisor.image.pullPolicy)
  (list "OPENSHELL_SUPERVISOR_SIDELOAD_METHOD" (include "driver.sideloadMethod" .))
  (list "OPENSHELL_K8S_TOPOLOGY" .Values.supervisor.topology)
  (list "OPENSHELL_K8S_SIDECAR_PROXY_UID" (toString (int64 .Values.supervisor.sidecar.proxyUid)))
  (list "OPENSHELL_K8S_SIDECAR_PROCESS_BINARY_AWARE_NETWORK_POLICY" (toString .Values.supervisor.sidecar.processBinaryAwareNetworkPolicy))
  (list "OPENSHELL_K8S_WORKSPACE_DEFAULT_STORAGE_SIZE" $server.workspaceDefaultStorageSize)
  (list "OPENSHELL_K8S_WORKSPACE_STORAGE_CLASS" $server.workspaceStorageClass)
  (list "OPENSHELL_K8S_SA_TOKEN_TTL_SECS" (toString (int64 $server.sandboxJwt.k8sSaTokenTtlSecs)))
  (list "OPENSHELL_CLIENT_TLS_SECRET_NAME" $server.clientTlsSecretName)
  (list "OPENSHELL_HOST_GATEWAY_IP" $server.hostGatewayIP)
  (list "OPENSHELL_ENABLE_USER_NAMESPACES" (ternary "true" "" $server.enableUserNamespaces))
  (list "OPENSHELL_K8S_APP_ARMOR_PROFILE" $server.appArmorProfile)
  (list "OPENSHELL_K8S_TERMINATION_GRACE_SECONDS" (toString (int64 $server.terminationGracePeriodSeconds)))
  (list "OPENSHELL_GRPC_ENDPOINT" $server.grpcEndpoint)
  (list "OPENSHELL_K8S_DEFAULT_RUNTIME_CLASS_NAME" $server.defaultRuntimeClassName)
-}}
{{- if and .Values.networkPolicy.enabled (eq (include "driver.workspaceMode" .) "managed") -}}
{{- $pairs = concat $pairs (list
  (list "OPENSHELL_MANAGED_SSH_INGRESS_ENABLED" "true")
  (list "OPENSHELL_MANAGED_SSH_GATEWAY_NAMESPACE" (include "driver.gatewayNamespace" .))
  (list "OPENSHELL_MANAGED_SSH_GATEWAY_POD_SELECTOR" (include "driver.gatewayPodSelector" .))
) -}}
{{- end -}}
{{- range $pairs }}
{{- if and (last .) (not (has (first .) $extra)) }}
- name: {{ first . }}
  value: {{ last . | quote }}
{{- end }}
{{- end }}
{{- end -}}
